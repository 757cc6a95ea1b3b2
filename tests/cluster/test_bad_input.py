"""Bad input from every side of the real thing: a log line, a counter, and nothing is lost."""

from __future__ import annotations

import asyncio
import gzip
import random
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from redis.asyncio import Redis
from tests.kit.cluster import complaints
from tests.kit.cluster.complaints import until_counted, until_logged
from tests.kit.cluster.product import Product, deployed
from tests.kit.cluster.scene import Scene, watched
from tests.kit.fleets import manifests
from tests.kit.fleets.changes import Scale
from tests.kit.fleets.users import Begun, Recorders, end_for_certain, start_request
from tests.kit.watching import api
from tests.kit.watching.listing import Lister
from tests.kit.watching.verdicts import judge

from mediafleet_common.api.names import Kind, Label, PodState, Port
from mediafleet_common.wire import psrpc_pb2 as psrpc
from mediafleet_scheduler.psrpc import channels
from mediafleet_scheduler.psrpc.errors import BadMessage
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

SERVE_SECONDS: Final = 60.0
LOGGED_SECONDS: Final = 10.0
SEED: Final = 5

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    with deployed(node, workspace) as product:
        yield product


def enveloped(value: bytes, compression: int = 0, kind: str = "Request") -> bytes:
    """A message as psrpc wraps it."""
    url = f"type.googleapis.com/internal.{kind}"
    return psrpc.Msg(type_url=url, value=value, compression=compression).SerializeToString()


def request(payload: bytes, **more: Any) -> bytes:
    """A request that is well formed as far as psrpc goes."""
    now = time.time_ns()
    fields: dict[str, Any] = {
        "request_id": "REQ_bad",
        "client_id": "CLI_bad",
        "sent_at": now,
        "expiry": now + 10**10,
        "raw_request": payload,
        **more,
    }
    return enveloped(psrpc.Request(**fields).SerializeToString())


GARBAGE: Final = {
    BadMessage.NOT_PROTOBUF: b"\xff\xfe this is no protobuf \x00" * 20,
    BadMessage.TOO_LARGE: random.Random(SEED).randbytes(3 << 20),
    BadMessage.INFLATES_TOO_FAR: enveloped(gzip.compress(bytes(64 << 20)), compression=1),
    BadMessage.BAD_GZIP: enveloped(b"not gzip at all", compression=1),
    BadMessage.UNKNOWN_COMPRESSION: enveloped(b"", compression=7),
    BadMessage.WRONG_TYPE: enveloped(b"", kind="Nonsense"),
}
"""What is bad on any channel, by what it is to be counted as."""


def bad_requests() -> dict[BadMessage, bytes]:
    """What is bad as a StartEgress, by what it is to be counted as."""
    too_long = start_request("x" * 300, "track").SerializeToString()
    # Field 99 holds the source to record: of a type that nobody knows yet.
    of_the_future = b"\x0a\x06EG_new" + b"\x9a\x06\x02\x0a\x00"
    return {
        BadMessage.INCOMPLETE: request(b"", client_id=""),
        BadMessage.UNKNOWN_REQUEST_TYPE: request(of_the_future),
        BadMessage.NOT_A_START_EGRESS: request(too_long),
    }


async def begun(scene: Scene, users: Recorders, count: int) -> list[Begun]:
    """So many jobs, all at once; each must come to run."""
    jobs = await asyncio.gather(*(users.begin() for _ in range(count)))
    assert users.refusals == []
    async with asyncio.timeout(LOGGED_SECONDS):
        await asyncio.gather(*(scene.logs.seen(job.job_id).wait() for job in jobs))
    return list(jobs)


async def end(scene: Scene, jobs: list[Begun]) -> None:
    """End jobs."""
    await asyncio.gather(*(end_for_certain(job, scene.logs) for job in jobs))


def nothing_lost(scene: Scene, jobs: list[Begun], since: float) -> None:
    """Each job started once and ended, and no process was started again."""
    scene.logs.read()
    assert {job.job_id: scene.logs.starts[job.job_id] for job in jobs} == {
        job.job_id: 1 for job in jobs
    }
    deletions = scene.deletions(since)
    assert judge(deletions, scene.logs.jobs, manifests.DRAIN_TIMEOUT_SECONDS) == []
    assert complaints.restarts(scene) == {}


async def test_garbage_on_every_channel_is_counted_and_harms_nobody(product: Product) -> None:
    since = time.time()
    async with watched(product) as scene, Redis.from_url(f"redis://{product.redis}") as redis:
        await scene.create(manifests.egress_fleet("rec", product.redis, 2))
        await scene.until_wanted("rec", 2, 0, SERVE_SECONDS)
        users = scene.recorders("track", random.Random(SEED))
        jobs = await begun(scene, users, 4)
        for channel in await redis.pubsub_channels():
            for message in GARBAGE.values():
                await redis.publish(channel, message)
        starts = channels.request("EgressInternal", "StartEgress")
        for message in bad_requests().values():
            await redis.publish(starts, message)
        for reason in (*GARBAGE, *bad_requests()):
            await until_counted(
                scene, "egress", "mediafleet_psrpc_bad_messages_total", reason=reason.value
            )
            await until_logged(scene, "egress", "unreadable message on", reason.value)
        jobs += await begun(scene, users, 4)
        assert sum(len(scene.logs.running(pod.uid)) for pod in scene.pods.of("rec")) == 8
        await end(scene, jobs)
        nothing_lost(scene, jobs, since)


async def test_a_pod_that_never_bids_gets_nothing_and_costs_no_job(product: Product) -> None:
    since = time.time()
    mute = {"STANDIN_MUTE": manifests.ONLY_SLOT_1}
    async with watched(product) as scene:
        await scene.create(manifests.egress_fleet("rec", product.redis, 3, env=mute))
        await scene.until_wanted("rec", 3, 0, SERVE_SECONDS)
        # The desk's own watch may be behind ours, and would share them out among the other two.
        workers = "mediafleet_fleet_workers"
        await until_counted(scene, "egress", workers, least=3, state=PodState.READY)
        users = scene.recorders("track", random.Random(SEED))
        jobs = await begun(scene, users, 12)
        name = "mediafleet_forward_attempts_total"
        await until_counted(scene, "egress", name, outcome="no_bid")
        await until_logged(scene, "egress", "rec-1 did not take", "no_bid")
        by_pod = {pod.name: len(scene.logs.running(pod.uid)) for pod in scene.pods.of("rec")}
        assert by_pod["rec-1"] == 0
        assert sum(by_pod.values()) == 12
        await end(scene, jobs)
        nothing_lost(scene, jobs, since)


async def test_unreadable_metrics_are_unknown_and_never_idle(product: Product) -> None:
    since = time.time()
    unreadable = {"STANDIN_UNREADABLE_METRICS": manifests.ONLY_SLOT_1}
    async with watched(product) as scene:
        await scene.create(manifests.egress_fleet("rec", product.redis, 3, env=unreadable))
        await scene.until_wanted("rec", 3, 0, SERVE_SECONDS)
        jobs = await begun(scene, scene.recorders("track", random.Random(SEED)), 6)
        await until_counted(scene, "egress", "mediafleet_scrapes_total", outcome="unreadable")
        await until_logged(scene, "egress", "load of", "is unknown")
        name = "mediafleet_load_probes_total"
        await until_counted(scene, "operator", name, result="unreadable")
        await end(scene, jobs)
        # Known-idle pods leave first; the one of unknown load is all that stays.
        await scene.change(Kind.EGRESS_FLEET, "rec", Scale(1))
        await scene.until_drained("rec", 1, SERVE_SECONDS)
        (unknown,) = scene.pods.of("rec")
        assert unknown.labels[Label.SLOT] == "1"
        await scene.change(Kind.EGRESS_FLEET, "rec", Scale(0))
        await scene.pods.until("it drains", lambda: not unknown.serving, SERVE_SECONDS)
        await until(
            "the status says why it waits",
            lambda: scene.status(Kind.EGRESS_FLEET, "rec"),
            lambda status: any(
                each["type"] == "Draining" and each["reason"] == "LoadUnknown"
                for each in status.get("conditions", ())
            ),
            seconds=20,
        )
        assert unknown.there
        await scene.change(Kind.EGRESS_FLEET, "rec", Scale(1))
        await scene.until_wanted("rec", 1, 0, SERVE_SECONDS)
        assert [pod.uid for pod in scene.pods.serving("rec")] == [unknown.uid]
        nothing_lost(scene, jobs, since)


async def test_a_node_url_that_does_not_parse_is_left_out_and_said(product: Product) -> None:
    bad = {"type": "template", "template": "https://{name}.example.com:8935/not/a/node"}
    async with watched(product) as scene:
        await scene.create(manifests.orchestrator_pool("orch", 2, address=bad))
        await scene.until_wanted("orch", 2, 0, SERVE_SECONDS)

        def said(status: Mapping[str, Any]) -> list[str]:
            return [
                f"{each['reason']} {each['message']}"
                for each in status.get("conditions", ())
                if each["type"] == "AddressReady"
            ]

        await until(
            "the status says what is wrong with it",
            lambda: scene.status(Kind.ORCHESTRATOR_POOL, "orch"),
            lambda status: any(
                "AddressRefused" in each and "https://host:port" in each for each in said(status)
            ),
            seconds=20,
        )
        entry = f"https://{await scene.service_address('orch')}:{Port.ORCHESTRATOR}"
        async with Lister(entry) as lister:
            await until("none is listed", lister.ask, lambda seen: seen == set(), seconds=10)
            await scene.api.patch(
                api.fleet(Kind.ORCHESTRATOR_POOL, scene.namespace, "orch"),
                {"spec": {"address": {"type": "pod_ip", "template": None}}},
            )
            await until("both are listed", lister.ask, lambda seen: len(seen or ()) == 2)
        await until(
            "the status says that all is well",
            lambda: scene.status(Kind.ORCHESTRATOR_POOL, "orch"),
            lambda status: any("AddressKnown" in each for each in said(status)),
            seconds=20,
        )
        assert complaints.restarts(scene) == {}

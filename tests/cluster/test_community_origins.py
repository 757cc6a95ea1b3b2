"""Origins on the node: real doors before nodes see where streams come from, a Redis without
persistence carries names of the day, and reporters publish them. No address is in any of it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
import pytest
from tests.kit.cluster.product import Product, deployed
from tests.kit.community import Time
from tests.kit.fleets.manifests import orchestrator_pool

from mediafleet_common.api.community import Community, Share
from mediafleet_common.api.names import API_VERSION, Port
from mediafleet_scheduler.community.exchange.redis import Exchange, Place, exchange_of
from mediafleet_scheduler.community.reporter import Reporter
from mediafleet_scheduler.core.community.cells import WORLD
from mediafleet_scheduler.core.community.publishing import HourRecord
from mediafleet_testbed.cluster.pods import service
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

pytestmark = pytest.mark.timeout(600)
SECONDS: Final = 150.0
GATEWAYS: Final = ("203.0.114.7", "203.0.115.9", "203.0.116.3")
"""Public, and in three networks; the node has them for the time of the test."""
FOURTH: Final = "203.0.117.5"
STREAMS: Final = 3
LABEL: Final = "mediafleet.dev/fleet"
ADDRESS: Final = re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b")


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    with deployed(node, workspace, {"egress": {"enabled": False}}) as running:
        yield running


@asynccontextmanager
async def addresses(*some: str) -> AsyncIterator[None]:
    """Let the node have them, as if gateways were there."""

    async def ip(verb: str, address: str) -> None:
        command = ("ip", "address", verb, f"{address}/32", "dev", "lo")
        assert await (await asyncio.create_subprocess_exec(*command)).wait() == 0

    async with AsyncExitStack() as stack:
        for each in some:
            await ip("add", each)
            stack.push_async_callback(ip, "del", each)
        yield


@dataclass
class Scene:
    """A pool of one node behind its door, and the gateways that stream to it."""

    product: Product
    door: str
    rewriting: str
    """A Service, which puts another source address in the place of a caller's."""
    exchange: Exchange

    async def stream(self, gateway: str, door: str) -> None:
        """Have a gateway post a segment of each of its streams."""
        connector = aiohttp.TCPConnector(local_addr=(gateway, 0), ssl=False)
        async with aiohttp.ClientSession(connector=connector) as session:
            for number in range(STREAMS):
                name = f"{gateway}-{number}".encode()
                segment = bytes([0x0A, len(name)]) + name + bytes([0x10, 5])
                headers = {"Livepeer-Segment": base64.b64encode(segment).decode()}
                url = f"https://{door}:{Port.ORCHESTRATOR}/segment"
                async with session.post(url, headers=headers) as answer:
                    assert answer.status == 200

    async def inside(self) -> list[str]:
        """What the Redis holds of this moment, once all have streamed again."""
        for gateway in GATEWAYS:
            await self.stream(gateway, self.door)
        await self.stream(FOURTH, self.rewriting)
        name = f"mediafleet:community:{{{self.product.namespace}/orch}}:now"
        return [str(each) for each in await self.exchange.client.hvals(name)]

    async def hour(self, time: Time) -> HourRecord:
        """The hour as a reporter on a clock of its own publishes it."""
        share = Share(own_streams=True, streams_by_origin=True)
        community = Community(region="eu-west", share=share)
        mine = Reporter(community, lambda: 9, clock=time.clock, exchange=self.exchange)
        for _ in range(3):
            await mine.hear()
            mine.look()
            time.now += 10
        time.now = (time.now // 3600 + 1) * 3600
        assert mine.look()
        return mine.shared.hours[-1]


def sources(texts: list[str]) -> dict[str, int]:
    """Streams by name."""
    told = [each for text in texts for each in json.loads(text)["sources"]]
    return {each["name"]: each["streams"] for each in told if each["streams"]}


def all_stream(texts: list[str]) -> bool:
    return sorted(sources(texts).values()) == [STREAMS] * len(GATEWAYS)


def says(workspace: Workspace) -> tuple[str, list[str]]:
    status = workspace.get("cmetrics/share").get("status", {})
    reasons = [each["reason"] for each in status.get("conditions", [])]
    return "".join(reasons), status.get("shares", [])


def apply_all(product: Product) -> None:
    """A pool of one node behind HAProxy, and a CommunityMetrics that shares its origins."""
    redis = {"address": f"redis.{product.namespace}.svc:6379"}
    pool = orchestrator_pool(
        "orch",
        1,
        image="stock-http:dev",
        args=[],
        advertise={"replicas": 1},
        drainProxy={"image": "haproxy:dev"},
        load="requests",
        origins={"redis": redis},
    )
    [worker] = pool["spec"]["template"]["spec"]["containers"]
    worker["command"] = ["stock-http", "-serve", f"127.0.0.1:{Port.BEHIND_PROXY}", "--"]
    spec = {
        "pool": "orch",
        "region": "eu-west",
        "share": {"gatewaysByOrigin": True, "streamsByOrigin": True},
        "originsRedis": redis,
    }
    sharing = {"apiVersion": API_VERSION, "kind": "CommunityMetrics", "spec": spec}
    rewriting = service("rewriting", Port.ORCHESTRATOR, Port.ORCHESTRATOR, **{LABEL: "orch"})
    product.workspace.apply(pool, {**sharing, "metadata": {"name": "share"}}, rewriting)
    product.workspace.wait("condition=Ready", "opool/orch", timeout_seconds=int(SECONDS))


async def test_doors_tell_who_streams_a_rewritten_source_is_unknown_and_reporters_publish_it(
    product: Product,
) -> None:
    workspace = product.workspace
    await asyncio.to_thread(apply_all, product)
    (pod,) = workspace.pods(f"{LABEL}=orch")
    rewriting = str(workspace.get("service", "rewriting")["spec"]["clusterIP"])
    clock = Time(time.time())
    exchange = exchange_of(
        Place(f"redis://{product.redis}", f"{product.namespace}/orch"), clock.clock
    )
    scene = Scene(product, pod["status"]["podIP"], rewriting, exchange)
    async with addresses(*GATEWAYS, FOURTH):
        texts = await until("what doors tell", scene.inside, all_stream, SECONDS)
        # Seconds before an hour ends the looks below would lie in two of them.
        clock.now = min(time.time(), (time.time() // 3600 + 1) * 3600 - 31)
        hour = await scene.hour(clock)
        figures = hour.groups[WORLD]
        assert (figures.average, figures.streaming) == (10, (3, 5))

        async def status() -> tuple[str, list[str]]:
            return await asyncio.to_thread(says, workspace)

        # The one in the cluster hears the same doors.
        shares = ["ownStreams", "gatewaysByOrigin", "streamsByOrigin"]
        await until("it", status, lambda said: said == ("Shared", shares), SECONDS)
    await exchange.close()
    log = workspace.kubectl("logs", "deploy/share-reporter", "-c", "reporter")
    for text in (*texts, log, workspace.kubectl("get", "cmetrics", "share", "-o", "yaml")):
        assert not any(each.rpartition(".")[0] in text for each in (*GATEWAYS, FOURTH))
    assert not any(ADDRESS.search(text) for text in texts)

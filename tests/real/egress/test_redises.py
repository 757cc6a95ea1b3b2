"""Redis as it comes: with a password, behind a sentinel, a cluster, several, away for a while."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
import trustme
from prometheus_client import CollectorRegistry
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import NoPermissionError, ResponseError
from tests.kit.egress.scene import QUICK, Told, eventually, fleet, track

from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.core.egress.views import EgressView, Fleet
from mediafleet_scheduler.core.psrpc.selection import UPSTREAM_START_EGRESS
from mediafleet_scheduler.egress.base.settings import RedisTimes
from mediafleet_scheduler.egress.connections.opening import access_to
from mediafleet_scheduler.egress.process.serve import Options, Serving, serve
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.envelope import Response
from mediafleet_scheduler.psrpc.errors import PsrpcError
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.paths import REPOSITORY
from mediafleet_testbed.real_servers import RedisServer, free_port, redis_binary, redis_server
from mediafleet_testbed.standins.egress_rules import Admission
from mediafleet_testbed.standins.egress_worker import Conduct, Io, Worker
from mediafleet_testbed.tls_front import tls_before

CONDUCT = Conduct(start_seconds=0.0, io=Io.PUBLISH)
WAIT_SECONDS = 30.0
LARGE_CPUS = 4000.0
# redis-py forgets to close its connections to a node that a cluster or a sentinel has lost.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
ROOT = REPOSITORY


@asynccontextmanager
async def desk(directory: Told, **options: object) -> AsyncIterator[Serving]:
    """A whole desk, as the command runs it."""
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    made = replace(Options("127.0.0.1:0", settings=QUICK), **options)  # type: ignore[arg-type]
    running = asyncio.create_task(
        serve(made, directory, stop, ready.set_result, CollectorRegistry())
    )
    await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        await running
    try:
        yield ready.result()
    finally:
        stop.set()
        await running


@asynccontextmanager
async def pod(client: redis.Redis, name: str) -> AsyncIterator[tuple[Worker, Client]]:
    """A pod and a caller on a Redis."""
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(RedisBus(client))
        worker = await stack.enter_async_context(Worker(bus, name, Admission(12.0), CONDUCT))
        yield worker, await stack.enter_async_context(Client(bus, "EgressInternal"))
    await client.aclose()


async def start(client: Client) -> Response:
    return await client.request(
        "StartEgress",
        track().SerializeToString(),
        timeout_seconds=10,
        selection=UPSTREAM_START_EGRESS,
    )


def on(name: str, **spec: object) -> Fleet:
    """A fleet of one pod that names its Redis."""
    return replace(fleet(name, name=f"fleet-{name}"), redis=RedisSpec.model_validate(spec))


def told(*fleets: Fleet) -> Told:
    directory = Told()
    directory.publish(EgressView(fleets))
    return directory


async def test_one_desk_serves_fleets_on_several_redises() -> None:
    with redis_server() as one, redis_server() as two:
        directory = told(
            on("a", address=f"127.0.0.1:{one.port}"), on("b", address=f"127.0.0.1:{two.port}")
        )
        async with (
            desk(directory) as serving,
            pod(redis.Redis(port=one.port), "a") as (a, first),
            pod(redis.Redis(port=two.port), "b") as (b, second),
        ):
            assert sorted(serving.redis) == sorted([f"127.0.0.1:{s.port}" for s in (one, two)])
            for client in (first, second, second):
                assert (await start(client)).error is None
            assert (len(a.jobs), len(b.jobs)) == (1, 2)


async def test_a_redis_that_is_away_harms_no_other_fleet() -> None:
    with redis_server() as server:
        directory = told(on("a", address=f"127.0.0.1:{server.port}"))
        async with (
            desk(directory),
            pod(redis.Redis(port=server.port), "a") as (_, client),
        ):
            away = on("b", address=f"127.0.0.1:{free_port()}")
            directory.publish(EgressView((*directory.view.fleets, away)))  # type: ignore[union-attr]
            assert (await start(client)).error is None


async def test_a_password_is_taken_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("open sesame")
    with redis_server(None, "--requirepass", "open sesame") as server:
        address = f"127.0.0.1:{server.port}"
        secured = on("a", address=address, password_secret={"name": "s", "key": "k"})
        files = {address: tmp_path / "password"}
        client = redis.Redis(port=server.port, password="open sesame")
        async with (
            desk(told(secured), access=access_to(files, {}, {})),
            pod(client, "a") as (_, caller),
        ):
            assert (await start(caller)).error is None


async def test_a_cluster_is_served() -> None:
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with redis_server(None, *options) as server:
        client = redis.Redis(port=server.port, decode_responses=True)

        async def formed() -> bool:
            told = await client.execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call]
            return bool(told["cluster_state"] == "ok")

        await client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)  # type: ignore[no-untyped-call]
        await eventually(formed, WAIT_SECONDS)
        clustered = on("a", cluster={"addresses": [f"127.0.0.1:{server.port}"]})
        async with desk(told(clustered)), pod(client, "a") as (_, caller):
            assert (await start(caller)).error is None


USER = "mediafleet"
ACL = (
    f"user {USER} on >open-sesame ~mediafleet:* resetchannels &EgressInternal|* &IOInfo|* "
    "-@all +@connection +@pubsub +@read +@write +@scripting -@dangerous"
)
"""As docs/egress.md tells it."""


async def test_tls_with_an_acl_user_by_livekits_own_block(tmp_path: Path) -> None:
    assert ACL.partition(">")[2].partition(" ")[2] in (ROOT / "docs/egress.md").read_text()
    authority, root = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(root))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    acl = tmp_path / "users.acl"
    acl.write_text(f"user default on nopass ~* &* +@all\n{ACL}\n")
    file = tmp_path / "redis.yaml"
    with redis_server(None, "--aclfile", str(acl)) as server:
        async with tls_before(server.port, context) as port:
            tls = f"{{enabled: true, ca_cert_file: {root}}}"
            user = f"username: {USER}, password: open-sesame"
            file.write_text(f"redis: {{address: '127.0.0.1:{port}', {user}, db: 2, tls: {tls}}}")
            async with (
                desk(told(fleet("a")), redis_config=file),
                pod(redis.Redis(port=server.port), "a") as (worker, caller),
            ):
                assert (await start(caller)).error is None
                worker.stop_all()
                await eventually(lambda: not worker.jobs)
                assert (await start(caller)).error is None
            kept = redis.Redis(port=server.port, db=2)
            assert await kept.hlen("mediafleet:{egress/2}:jobs") == 1, "its end was heard too"
            assert await kept.acl_log() == [], "the desk was denied something"
            await kept.aclose()


BEYOND = {
    "another key": ("SET", "livekit:room", "x"),
    "another channel": ("PUBLISH", "RoomService|x", "x"),
    "keys beyond ours": ("FLUSHALL",),
    "names of keys": ("KEYS", "*"),
    "the configuration": ("CONFIG", "GET", "*"),
    "other users": ("ACL", "LIST"),
}


async def test_the_documented_acl_lets_a_desk_at_nothing_else(tmp_path: Path) -> None:
    acl = tmp_path / "users.acl"
    acl.write_text(f"user default on nopass ~* &* +@all\n{ACL}\n")
    with redis_server(None, "--aclfile", str(acl)) as server:
        user = redis.Redis(port=server.port, username=USER, password="open-sesame")
        for command in BEYOND.values():
            with pytest.raises(NoPermissionError):
                await user.execute_command(*command)  # type: ignore[no-untyped-call]
        await user.aclose()


NEEDED = [right for right in ACL.split() if right[0] in "~&+"]


@pytest.mark.parametrize("right", NEEDED)
async def test_no_right_of_the_documented_acl_may_be_missing(tmp_path: Path, right: str) -> None:
    acl = tmp_path / "users.acl"
    acl.write_text(f"user default on nopass ~* &* +@all\n{ACL.replace(right, '')}\n")
    (tmp_path / "password").write_text("open-sesame")
    with redis_server(None, "--aclfile", str(acl)) as server:
        address = f"127.0.0.1:{server.port}"
        named = on("a", address=address, username=USER, password_secret={"name": "s", "key": "k"})
        access = access_to({address: tmp_path / "password"}, {}, {})
        watcher = redis.Redis(port=server.port, decode_responses=True)
        stop = asyncio.Event()
        options = Options("127.0.0.1:0", settings=QUICK, access=access)
        running = asyncio.create_task(
            serve(options, told(named), stop, lambda _: None, CollectorRegistry())
        )

        async def denied() -> bool:
            return bool(await watcher.acl_log())

        await eventually(denied, WAIT_SECONDS)
        stop.set()
        await asyncio.gather(running, return_exceptions=True)
        await watcher.aclose()


async def test_a_three_node_cluster_is_served_and_one_node_may_be_away() -> None:
    async with AsyncExitStack() as stack:
        nodes = [stack.enter_context(cluster_node()) for _ in range(3)]
        await form(nodes)
        addresses = [f"127.0.0.1:{node.port}" for node in nodes]
        await stack.enter_async_context(desk(told(on("a", cluster={"addresses": addresses}))))
        client = redis.Redis(port=nodes[1].port)
        worker, caller = await stack.enter_async_context(pod(client, "a"))
        assert (await start(caller)).error is None
        nodes[0].process.kill()
        await eventually(lambda: answered(caller))
        assert len(worker.started) == len(set(worker.started))


async def test_the_cluster_node_with_the_ledger_dies_and_its_replica_goes_on() -> None:
    async with AsyncExitStack() as stack:
        nodes = [stack.enter_context(cluster_node()) for _ in range(4)]
        await form(nodes[:3])
        await replicate(nodes[2], nodes[3])
        addresses = [f"127.0.0.1:{node.port}" for node in nodes]
        large = replace(
            on("a", cluster={"addresses": addresses}), workers=fleet("a", cpus=LARGE_CPUS).workers
        )
        await stack.enter_async_context(desk(told(large)))
        client = redis.Redis(port=nodes[1].port)
        worker, caller = await stack.enter_async_context(pod(client, "a"))
        worker.admission.cpus = LARGE_CPUS
        assert (await start(caller)).error is None
        calls = await stack.enter_async_context(asking(caller))
        await eventually(lambda: sum(call.done() for call in calls) >= 5)
        nodes[2].process.kill()
        await eventually(lambda: answered(caller), 60.0)
        since = len(calls)
        await eventually(lambda: len(calls) >= since + 20)
        after = await asyncio.gather(*calls[since:])
        assert after == [True] * len(after)
        assert len(worker.started) == len(set(worker.started)) >= len(after)
        kept = redis.Redis(port=nodes[3].port)
        assert await kept.hlen("mediafleet:{egress/0}:jobs") >= len(after)
        await kept.aclose()


async def replicate(master: RedisServer, replica: RedisServer) -> None:
    """Have a node that is in no cluster yet follow a node of one."""
    of, to = (redis.Redis(port=node.port, decode_responses=True) for node in (master, replica))
    identity = await of.execute_command("CLUSTER MYID")  # type: ignore[no-untyped-call]
    bus_port = (await to.config_get("cluster-port"))["cluster-port"]
    await of.execute_command("CLUSTER MEET", "127.0.0.1", replica.port, bus_port)  # type: ignore[no-untyped-call]

    async def told_to() -> bool:
        try:
            await to.execute_command("CLUSTER REPLICATE", identity)  # type: ignore[no-untyped-call]
        except ResponseError:
            return False  # They have not met yet.
        return True

    async def follows() -> bool:
        told = await of.info("replication")
        known = await to.execute_command("CLUSTER NODES")  # type: ignore[no-untyped-call]
        synced = told["connected_slaves"] == 1 and told["slave0"]["state"] == "online"
        return bool(synced and len(known) == 4)

    await eventually(told_to, WAIT_SECONDS)
    await eventually(follows, WAIT_SECONDS)
    for each in (of, to):
        await each.aclose()


def cluster_node() -> AbstractContextManager[RedisServer]:
    timeout = ("--cluster-node-timeout", "2000")
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()), *timeout)
    return redis_server(None, *options, "--cluster-require-full-coverage", "no")


async def form(nodes: Sequence[RedisServer]) -> None:
    """Make a cluster of nodes; the ledger's keys are on the last one."""
    clients = [redis.Redis(port=node.port, decode_responses=True) for node in nodes]
    slot = await clients[0].cluster("KEYSLOT", "mediafleet:{egress/0}:jobs")
    others = [number for number in range(16384) if number != slot]
    half = len(others) // 2
    for client, slots in zip(clients, (others[:half], others[half:], [slot]), strict=True):
        await client.execute_command("CLUSTER ADDSLOTS", *slots)  # type: ignore[no-untyped-call]
    bus_ports = [(await client.config_get("cluster-port"))["cluster-port"] for client in clients]
    for node, bus_port in zip(nodes[1:], bus_ports[1:], strict=True):
        await clients[0].execute_command("CLUSTER MEET", "127.0.0.1", node.port, bus_port)  # type: ignore[no-untyped-call]

    async def formed() -> bool:
        told = [await client.execute_command("CLUSTER INFO") for client in clients]  # type: ignore[no-untyped-call]
        return all(
            one["cluster_state"] == "ok" and one["cluster_slots_assigned"] == "16384"
            for one in told
        )

    await eventually(formed, WAIT_SECONDS)
    for client in clients:
        await client.aclose()


async def answered(client: Client) -> bool:
    """Whether a start succeeds now."""
    try:
        return (await start(client)).error is None
    except PsrpcError:
        return False


@asynccontextmanager
async def asking(client: Client) -> AsyncIterator[list[asyncio.Task[bool]]]:
    """One start after the other, each asked for once; whether it succeeded."""
    calls: list[asyncio.Task[bool]] = []

    async def ask() -> None:
        while True:
            calls.append(asyncio.create_task(answered(client)))
            await asyncio.sleep(0.05)

    load = asyncio.create_task(ask())
    try:
        yield calls
    finally:
        load.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_a_failover_by_the_sentinel_under_load_is_followed_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    with (
        redis_server() as master,
        redis_server(None, "--replicaof", "127.0.0.1", str(master.port)) as replica,
        sentinel(tmp_path, master.port) as port,
    ):
        guarded = on("a", sentinel={"master_name": "main", "addresses": [f"127.0.0.1:{port}"]})
        guarded = replace(guarded, workers=fleet("a", cpus=LARGE_CPUS).workers)
        found = Sentinel([("127.0.0.1", port)])  # type: ignore[no-untyped-call]
        client = found.master_for("main", protocol=2)
        watcher = redis.Redis(port=port, decode_responses=True)

        async def watched() -> bool:
            told: dict[str, Any] = await watcher.execute_command("SENTINEL MASTER", "main")  # type: ignore[no-untyped-call]
            return int(told["num-slaves"]) == 1

        await eventually(watched)
        async with desk(told(guarded)), pod(client, "a") as (worker, caller):
            worker.admission.cpus = LARGE_CPUS
            assert (await start(caller)).error is None
            async with asking(caller) as calls:
                await eventually(lambda: sum(call.done() for call in calls) >= 5)
                master.process.kill()
                await eventually(lambda: answered(caller), 40.0)
                # What is asked from now on is not in the way of the failover any more.
                since = len(calls)
                await eventually(lambda: len(calls) >= since + 20)
            after = [call.result() for call in calls[since:]]
            print(f"{sum(not call.result() for call in calls)} of {len(calls)} to be asked again")
            assert after == [True] * len(after)
            assert len(worker.started) == len(set(worker.started)) >= len(after)
            kept = redis.Redis(port=replica.port)
            assert await kept.hlen("mediafleet:{egress/0}:jobs") >= 2
            await kept.aclose()
        await watcher.aclose()
        for each in found.sentinels:
            await each.aclose()


@contextmanager
def sentinel(folder: Path, master: int) -> Iterator[int]:
    """A sentinel of the Redis on a port; its own port."""
    port = free_port()
    config = folder / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {master} 1\n"
        "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n"
    )
    command = [str(redis_binary()), str(config), "--sentinel"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


async def test_a_master_is_found_through_its_sentinel(tmp_path: Path) -> None:
    with redis_server() as server, sentinel(tmp_path, server.port) as port:
        guarded = on("a", sentinel={"master_name": "main", "addresses": [f"127.0.0.1:{port}"]})
        async with (
            desk(told(guarded)),
            pod(redis.Redis(port=server.port), "a") as (_, caller),
        ):
            assert (await start(caller)).error is None


async def test_the_desk_comes_back_with_redis_and_remembers() -> None:
    with redis_server() as first:
        port = first.port
        directory = told(on("a", address=f"127.0.0.1:{port}"))
        stack = AsyncExitStack()
        await stack.enter_async_context(desk(directory))
        worker, client = await stack.enter_async_context(pod(redis.Redis(port=port), "a"))
        assert (await start(client)).error is None
    with redis_server(port):
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                try:
                    answer = await start(client)
                except PsrpcError:
                    continue
                if answer.error is None:
                    break
        assert len(worker.jobs) == len(set(worker.started)) >= 2
        kept = redis.Redis(port=port)
        assert await kept.hlen("mediafleet:{egress/0}:jobs") >= 1
        await kept.aclose()
        await stack.aclose()


async def test_the_wrong_address_is_told_at_the_start() -> None:
    impatient = replace(QUICK, redis=RedisTimes(start_seconds=0.2))
    url = f"redis://127.0.0.1:{free_port()}"
    with pytest.raises(CannotStartError, match="Redis at"):
        async with desk(told(fleet("a")), redis=url, settings=impatient):
            pass


def test_a_redis_server_of_our_own_starts(redis_process: RedisServer) -> None:
    assert redis_process.url.startswith("redis://127.0.0.1:")

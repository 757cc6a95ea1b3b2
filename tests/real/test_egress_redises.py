"""Redis as it comes: with a password, behind a sentinel, a cluster, several, away for a while."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import redis.asyncio as redis
from prometheus_client import CollectorRegistry
from tests.real.scene import QUICK, Told, eventually, fleet, track

from mediafleet_common.api.egress_fleet import RedisSpec
from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.directory.views import EgressView, Fleet
from mediafleet_scheduler.egress.serving import Options, Serving, serve
from mediafleet_scheduler.psrpc.client import UPSTREAM_START_EGRESS, Client
from mediafleet_scheduler.psrpc.envelope import Response
from mediafleet_scheduler.psrpc.errors import PsrpcError
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.real import RedisServer, free_port, redis_binary, redis_server
from mediafleet_testbed.standins.egress_rules import Admission
from mediafleet_testbed.standins.egress_worker import Conduct, Io, Worker

CONDUCT = Conduct(start_seconds=0.0, io=Io.PUBLISH)
WAIT_SECONDS = 10.0


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
        async with desk(told(secured), password_files=files), pod(client, "a") as (_, caller):
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


@contextmanager
def sentinel(folder: Path, master: int) -> Iterator[int]:
    """A sentinel of the Redis on a port; its own port."""
    port = free_port()
    config = folder / "sentinel.conf"
    config.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {master} 1\n")
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


async def test_the_wrong_address_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mediafleet_scheduler.egress.serving._PATIENCE_SECONDS", 0.2)
    url = f"redis://127.0.0.1:{free_port()}"
    with pytest.raises(CannotStartError, match="Redis at"):
        async with desk(told(fleet("a")), redis=url):
            pass


def test_a_redis_server_of_our_own_starts(redis_process: RedisServer) -> None:
    assert redis_process.url.startswith("redis://127.0.0.1:")

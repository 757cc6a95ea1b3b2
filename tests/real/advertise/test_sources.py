"""Advertisers that feed another one: what leaves, what dies, what must not go in circles."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from prometheus_client import CollectorRegistry

from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.probes.ping import NodeClient
from mediafleet_common.serving.tls import self_signed
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo
from mediafleet_scheduler.advertise.desk import Serving, Settings, serve
from mediafleet_scheduler.core.advertise.views import PoolView
from mediafleet_scheduler.directory.entries import pool_view
from mediafleet_scheduler.directory.entries_file import NodesFile
from mediafleet_scheduler.directory.files import FileDirectory
from mediafleet_scheduler.directory.sourced import SourcedDirectory, SourceTimes
from mediafleet_testbed.real_servers import free_port
from mediafleet_testbed.standins.node import StandInNode
from mediafleet_testbed.standins.node_flags import parse_flags

DEADLINE_SECONDS = 60.0
READ_SECONDS = 0.1


@dataclass
class Desk:
    """An advertiser in this process."""

    path: Path
    port: int
    client: NodeClient
    registry: CollectorRegistry

    @property
    def list_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/orchestrators"

    def write(self, *nodes: StandInNode, sources: list[dict[str, Any]] | None = None) -> None:
        write(self.path, *nodes, sources=sources)

    async def nodes(self) -> list[str]:
        answer = await self.client.orchestrator_info(5.0)
        return list(OrchestratorInfo.FromString(answer or b"").nodes)

    async def lists(self, *nodes: StandInNode | str) -> float:
        """Wait until gateways are told of exactly these; how many seconds that took."""
        urls = [each if isinstance(each, str) else each.url for each in nodes]
        began = time.monotonic()

        async def told() -> bool:
            return await self.nodes() == urls

        await until(told)
        return time.monotonic() - began

    async def condition(self, name: str) -> tuple[str, str]:
        url = self.list_url.replace("/orchestrators", "/conditions")
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            found = {each["type"]: each for each in await response.json()}[name]
        return found["status"], found["reason"]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"mediafleet_{name}", labels)


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            if await true():
                return
            await asyncio.sleep(0.02)


def write(path: Path, *nodes: StandInNode, sources: list[dict[str, Any]] | None = None) -> None:
    entries = [{"name": f"n{index}", "url": node.url} for index, node in enumerate(nodes)]
    text = yaml.safe_dump({"nodes": entries, "advertise": {"sources": sources or []}})
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    scratch.replace(path)


@asynccontextmanager
async def desk(
    path: Path, *nodes: StandInNode, sources: list[dict[str, Any]] | None = None, port: int = 0
) -> AsyncIterator[Desk]:
    write(path, *nodes, sources=sources)
    registry = CollectorRegistry()
    stop = asyncio.Event()
    ready: asyncio.Future[Serving] = asyncio.get_running_loop().create_future()
    file = FileDirectory[NodesFile, PoolView](path, NodesFile, pool_view, registry)
    directory = SourcedDirectory(file, registry, SourceTimes(read_seconds=READ_SECONDS))
    settings = Settings("127.0.0.1:0", f"127.0.0.1:{port}", None, sources=directory.states)
    task = asyncio.create_task(serve(settings, directory, stop, ready.set_result, registry))
    try:
        serving = await asyncio.wait_for(ready, DEADLINE_SECONDS)
        async with NodeClient(NodeUrl("http", "127.0.0.1", serving.grpc_port)) as client:
            yield Desk(path, serving.http_port, client, registry)
    finally:
        stop.set()
        await task


@asynccontextmanager
async def nodes(count: int) -> AsyncIterator[list[StandInNode]]:
    listen = ("-serviceAddr=http://127.0.0.1:0", "-httpAddr=http://127.0.0.1:0", "-cliAddr=:0")
    async with AsyncExitStack() as stack:
        flags = parse_flags(listen)
        yield [await stack.enter_async_context(StandInNode(flags)) for _ in range(count)]


async def test_two_feed_a_third_and_who_leaves_one_is_off_the_merged_list(tmp_path: Path) -> None:
    async with nodes(4) as (a, b, c, mine), AsyncExitStack() as stack:
        one = await stack.enter_async_context(desk(tmp_path / "one", a, b))
        two = await stack.enter_async_context(desk(tmp_path / "two", c, a))
        sources = [
            {"name": "one", "list_url": one.list_url},
            {"name": "two", "list_url": two.list_url},
        ]
        all_ = await stack.enter_async_context(desk(tmp_path / "all", mine, sources=sources))
        merged = sorted((a.url, b.url))
        # A is told of by both, and listed once.
        await all_.lists(mine, *merged, c)
        one.write(a)
        assert await all_.lists(mine, a, c) < 2.0
        one.write()
        await all_.lists(mine, *sorted((a.url, c.url)))
        assert all_.metric("source_nodes", source="two") == 2


async def test_a_node_that_drains_here_is_not_brought_back_by_a_source(tmp_path: Path) -> None:
    async with nodes(1) as (a,), AsyncExitStack() as stack:
        one = await stack.enter_async_context(desk(tmp_path / "one", a))
        sources = [{"name": "one", "list_url": one.list_url}]
        all_ = await stack.enter_async_context(desk(tmp_path / "all", sources=sources))
        await all_.lists(a)
        entry = {"name": "a", "url": a.url, "state": "draining"}
        text = yaml.safe_dump({"nodes": [entry], "advertise": {"sources": sources}})
        all_.path.write_text(text)
        await all_.lists()


async def test_a_source_that_dies_is_kept_and_then_dropped_and_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    async with nodes(2) as (a, fixed), AsyncExitStack() as stack:
        first = AsyncExitStack()
        one = await first.enter_async_context(desk(tmp_path / "one", a, port=port))
        entry = {"name": "one", "list_url": one.list_url, "urls": [fixed.url], "stale_after": "3s"}
        all_ = await stack.enter_async_context(desk(tmp_path / "all", sources=[entry]))
        both = sorted((a.url, fixed.url))
        await all_.lists(*both)
        await first.aclose()

        async def noticed() -> bool:
            return bool(all_.metric("source_reads_total", source="one", result="failed"))

        await until(noticed)
        assert await all_.nodes() == both
        assert await all_.condition("SourcesReady") == ("False", "SourceAway")
        assert await all_.lists(fixed) > 0.5
        assert await all_.condition("SourcesReady") == ("False", "SourceDropped")
        async with desk(tmp_path / "one", a, port=port):
            await all_.lists(*both)
            assert await all_.condition("SourcesReady") == ("True", "SourcesRead")
    assert len([text for text in caplog.messages if "source one cannot be read" in text]) == 1


async def test_two_that_feed_each_other_keep_no_ghosts(tmp_path: Path) -> None:
    """A node that is off its own list and still alive would else be passed round for ever."""
    ports = free_port(), free_port()
    lists = [f"http://127.0.0.1:{port}/orchestrators" for port in ports]
    async with nodes(2) as (a, b), AsyncExitStack() as stack:
        left = await stack.enter_async_context(
            desk(tmp_path / "left", a, sources=[{"name": "r", "list_url": lists[1]}], port=ports[0])
        )
        back = [{"name": "l", "list_url": lists[0]}]
        right = await stack.enter_async_context(
            desk(tmp_path / "right", b, sources=back, port=ports[1])
        )
        await left.lists(a, b)
        await right.lists(b, a)
        right.write(sources=back)
        await asyncio.gather(left.lists(a), right.lists(a))


async def test_another_advertiser_in_a_list_is_not_listed_itself(tmp_path: Path) -> None:
    """Depth one: gateways do not look at the nodes of a node."""
    async with nodes(1) as (a,), AsyncExitStack() as stack:
        listen = ("-httpAddr=http://127.0.0.1:0", "-cliAddr=:0", f"-nodes={a.url}")
        flags = parse_flags(["-serviceAddr=none", *listen])
        parent = await stack.enter_async_context(StandInNode(flags))
        entry = {"name": "eu", "urls": [parent.url, a.url, "https://h:1\nforged"]}
        all_ = await stack.enter_async_context(desk(tmp_path / "all", sources=[entry]))
        await all_.lists(a)
        assert all_.metric("nodes_left_out", pool="file", reason="advertises_only") == 1
        assert all_.metric("nodes_left_out", pool="file", reason="bad_url") == 1


async def test_a_list_over_tls_with_a_token(tmp_path: Path) -> None:
    key, certificate = self_signed(["127.0.0.1"])
    (tmp_path / "key").write_bytes(key)
    (tmp_path / "ca").write_bytes(certificate)
    (tmp_path / "token").write_text("open sesame\n")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "ca", tmp_path / "key")
    asked: list[str] = []
    async with nodes(1) as (a,), AsyncExitStack() as stack:

        async def told(request: web.Request) -> web.Response:
            asked.append(request.headers.get("Authorization", ""))
            assert request.query["scope"] == "own"
            return web.json_response([{"address": a.url}])

        app = web.Application()
        app.add_routes([web.get("/list", told)])
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        entry = {
            "name": "eu",
            "list_url": f"https://127.0.0.1:{runner.addresses[0][1]}/list",
            "token_file": str(tmp_path / "token"),
            "ca_file": str(tmp_path / "ca"),
        }
        trusting = await stack.enter_async_context(desk(tmp_path / "all", sources=[entry]))
        await trusting.lists(a)
        assert set(asked) == {"Bearer open sesame"}
        del entry["ca_file"]
        asked.clear()
        doubting = await stack.enter_async_context(desk(tmp_path / "doubt", sources=[entry]))
        assert await doubting.nodes() == []
        assert doubting.metric("source_reads_total", source="eu", result="failed") == 1


async def test_a_list_that_is_the_same_is_not_sent_again(tmp_path: Path) -> None:
    answers: list[int] = []
    async with nodes(2) as pair, AsyncExitStack() as stack:
        # Nodes of a source are listed in the order of their URLs.
        a, b = sorted(pair, key=lambda node: node.url)
        told = [a.url]

        async def list_(request: web.Request) -> web.Response:
            etag = f'"{len(told)}"'
            fresh = request.headers.get("If-None-Match") != etag
            answers.append(200 if fresh else 304)
            body = json.dumps([{"address": url} for url in told]).encode() if fresh else None
            return web.Response(status=answers[-1], body=body, headers={"ETag": etag})

        app = web.Application()
        app.add_routes([web.get("/list", list_)])
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/list"
        sources = [{"name": "eu", "list_url": url, "stale_after": "1s"}]
        one = await stack.enter_async_context(desk(tmp_path / "one", sources=sources))
        await one.lists(a)

        async def read_often() -> bool:
            return answers.count(304) >= 15

        # For longer than a list is good for: the same one is as fresh as a new one.
        await until(read_often)
        assert await one.nodes() == [a.url]
        told.append(b.url)
        await one.lists(a, b)
        assert answers.count(200) == 2


async def test_a_source_that_is_taken_out_of_the_file_takes_its_nodes_and_figures_along(
    tmp_path: Path,
) -> None:
    async with nodes(2) as (a, b), AsyncExitStack() as stack:
        one = await stack.enter_async_context(desk(tmp_path / "one", a))
        entry = {"name": "one", "list_url": one.list_url}
        all_ = await stack.enter_async_context(desk(tmp_path / "all", b, sources=[entry]))
        await all_.lists(b, a)
        all_.write(b)
        await all_.lists(b)
        assert all_.metric("source_nodes", source="one") is None

"""An advertiser desk in this process, the file it follows, and stand-in nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry

from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.probes.ping import NodeClient
from mediafleet_common.serving.unary.port import Contexts
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo
from mediafleet_scheduler.advertise.desk import Serving, Settings, serve
from mediafleet_scheduler.advertise.prober import Manner
from mediafleet_scheduler.core.advertise.views import PoolView
from mediafleet_scheduler.directory.entries import pool_view
from mediafleet_scheduler.directory.entries_file import NodesFile
from mediafleet_scheduler.directory.files import FileDirectory
from mediafleet_testbed.standins.node import StandInNode
from mediafleet_testbed.standins.node_flags import NodeFlags, parse_flags

DEADLINE_SECONDS = 60.0


@dataclass
class Desk:
    """A desk in this process, its file, and a gateway's view of it."""

    path: Path
    registry: CollectorRegistry
    serving: Serving
    client: NodeClient

    def write(self, *entries: dict[str, Any], **advertise: Any) -> None:
        write(self.path, *entries, **advertise)

    async def info(self) -> OrchestratorInfo:
        answer = await self.client.orchestrator_info(5.0)
        assert answer is not None
        return OrchestratorInfo.FromString(answer)

    async def lists(self, *urls: str) -> None:
        """Wait until gateways are told of exactly these."""

        async def told() -> bool:
            return list((await self.info()).nodes) == list(urls)

        await until(told)

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"mediafleet_{name}", labels) or 0.0


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            if await true():
                return
            await asyncio.sleep(0.02)


def entry(name: str, node: StandInNode | str, **more: Any) -> dict[str, Any]:
    return {"name": name, "url": node if isinstance(node, str) else node.url, **more}


def write(path: Path, *entries: dict[str, Any], **advertise: Any) -> None:
    write_text(path, yaml.safe_dump({"advertise": advertise, "nodes": list(entries)}))


def write_text(path: Path, text: str) -> None:
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    scratch.replace(path)


@asynccontextmanager
async def desk(
    path: Path,
    tls: Contexts | None = None,
    manner: Manner | None = None,
) -> AsyncIterator[Desk]:
    registry = CollectorRegistry()
    stop = asyncio.Event()
    ready: asyncio.Future[Serving] = asyncio.get_running_loop().create_future()
    directory = FileDirectory[NodesFile, PoolView](path, NodesFile, pool_view, registry)
    settings = Settings("127.0.0.1:0", "127.0.0.1:0", tls, manner or Manner())
    task = asyncio.create_task(serve(settings, directory, stop, ready.set_result, registry))
    try:
        serving = await asyncio.wait_for(ready, DEADLINE_SECONDS)
        scheme = "https" if tls else "http"
        async with NodeClient(NodeUrl(scheme, "127.0.0.1", serving.grpc_port)) as client:
            yield Desk(path, registry, serving, client)
    finally:
        stop.set()
        await task


def node_flags(port: int, *more: str) -> NodeFlags:
    where = f"127.0.0.1:{port}"
    return parse_flags([f"-serviceAddr={where}", f"-httpAddr={where}", "-cliAddr=:0", *more])


@asynccontextmanager
async def nodes(count: int, *more: str) -> AsyncIterator[list[StandInNode]]:
    flags = node_flags(0, *more)
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(StandInNode(flags)) for _ in range(count)]

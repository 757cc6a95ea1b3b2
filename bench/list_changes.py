"""How fast the list follows many nodes of which twenty change a second: from a file, from sources.

`python -m bench.list_changes [SECONDS]`. A change is a node that begins to drain, or is ready
again; it has taken effect with the first answer of GetOrchestrator that shows it, asked every 20
milliseconds. Nodes are one plaintext server under many loopback addresses.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

os.environ["GRPC_VERBOSITY"] = "NONE"

import uvloop
from aiohttp import web
from bench.advertise import LISTED_GOAL_MS, UNLISTED_GOAL_MS, addresses, cpu_seconds, percentile
from rich.console import Console
from rich.table import Table

from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.probes.ping import NodeClient
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import free_port
from mediafleet_testbed.standins.node import StandInNode
from mediafleet_testbed.standins.node_flags import parse_flags

CHANGES_A_SECOND: Final = 20
FILE_NODES: Final = 500
SOURCES: Final = 20
SOURCE_NODES: Final = 50
_REST_SECONDS: Final = 3.0
"""Before a node changes again."""
_LATE_SECONDS: Final = 10.0
FLAGS: Final = ("-serviceAddr=http://127.0.0.1:0", "-httpAddr=http://0.0.0.0:0", "-cliAddr=:0")


@dataclass(slots=True)
class World:
    """The nodes as they are meant to be, and what gateways were told of that so far."""

    urls: list[str]
    ready: dict[str, bool] = field(init=False)
    waiting: dict[str, float] = field(default_factory=dict)
    """Since when a change has not been told yet."""
    listed_ms: list[float] = field(default_factory=list)
    unlisted_ms: list[float] = field(default_factory=list)
    late: int = 0
    _changed: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ready = dict.fromkeys(self.urls, True)

    def change(self, chance: random.Random, now: float) -> str | None:
        """Change a node that has rested; which one."""
        rested = [url for url in self.urls if now - self._changed.get(url, 0.0) > _REST_SECONDS]
        free = [url for url in rested if url not in self.waiting]
        gone = [url for url in free if not self.ready[url]]
        # As many come back as leave, once there are some that can.
        back = gone and chance.randrange(2) == 0
        there = [url for url in free if self.ready[url]]
        if not (gone if back else there):
            return None
        url = chance.choice(gone if back else there)
        self.ready[url] = not self.ready[url]
        self._changed[url] = self.waiting[url] = now
        return url

    def see(self, listed: frozenset[str], now: float) -> None:
        """Gateways are told of these."""
        for url, since in list(self.waiting.items()):
            if (url in listed) == self.ready[url]:
                del self.waiting[url]
                taken = self.listed_ms if self.ready[url] else self.unlisted_ms
                taken.append(1000 * (now - since))
            elif now - since > _LATE_SECONDS:
                del self.waiting[url]
                self.late += 1


async def play(
    world: World,
    tell: Callable[[str], Coroutine[None, None, None]],
    client: NodeClient,
    seconds: float,
) -> None:
    """Change twenty nodes a second and watch the list."""
    chance = random.Random(1)
    ended = asyncio.Event()

    async def watch() -> None:
        while not ended.is_set() or world.waiting:
            info = await client.orchestrator_info(5.0)
            if info is not None:
                listed = frozenset(OrchestratorInfo.FromString(info).nodes)
                world.see(listed, time.monotonic())
            await asyncio.sleep(0.02)

    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch())
        for number in range(int(seconds * CHANGES_A_SECOND)):
            await asyncio.sleep(max(0.0, began + number / CHANGES_A_SECOND - time.monotonic()))
            changed = world.change(chance, time.monotonic())
            if changed is not None:
                tasks.create_task(tell(changed))
        ended.set()


@asynccontextmanager
async def advertiser(
    folder: Path, count: int, *source: str
) -> AsyncIterator[tuple[NodeClient, int]]:
    """A desk that lists `count` nodes, as a process of its own."""
    port = free_port()
    async with Processes(folder) as processes:
        member = await processes.python(
            "advertiser",
            "mediafleet.main",
            *("advertise", *source, "--listen", f"127.0.0.1:{port}"),
            *("--http", "127.0.0.1:0", "--plaintext"),
        )
        await processes.says(member, "advertise ready", 60)
        async with NodeClient(NodeUrl("http", "127.0.0.1", port)) as client:
            async with asyncio.timeout(60):
                while True:
                    info = await client.orchestrator_info(5.0)
                    if len(OrchestratorInfo.FromString(info or b"").nodes) == count:
                        break
                    await asyncio.sleep(0.1)
            yield client, member.process.pid


def put(file: Path, content: object) -> None:
    """Replace a file at once."""
    scratch = file.with_suffix(".new")
    scratch.write_text(json.dumps(content))  # JSON is YAML, and quicker to write
    scratch.replace(file)


async def from_a_file(folder: Path, port: int, seconds: float) -> tuple[World, float]:
    """All nodes in one file."""
    world = World([each["url"] for each in addresses(FILE_NODES, port)])
    file = folder / "nodes.yaml"

    async def write(_: str) -> None:
        states = {True: "ready", False: "draining"}
        nodes = [
            {"name": f"n{number:04}", "url": url, "state": states[ready]}
            for number, (url, ready) in enumerate(world.ready.items())
        ]
        put(file, {"nodes": nodes})

    await write("")
    async with advertiser(folder, FILE_NODES, "--nodes", str(file)) as (client, pid):
        used = cpu_seconds(pid)
        await play(world, write, client, seconds)
        return world, (cpu_seconds(pid) - used) / seconds


async def from_sources(folder: Path, port: int, seconds: float) -> tuple[World, float]:
    """Twenty lists of fifty nodes, as other advertisers tell them."""
    world = World([each["url"] for each in addresses(SOURCES * SOURCE_NODES, port)])
    lists = [world.urls[n * SOURCE_NODES : (n + 1) * SOURCE_NODES] for n in range(SOURCES)]
    versions = [0] * SOURCES

    async def told(request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        etag = {"ETag": f'"{versions[number]}"'}
        if request.headers.get("If-None-Match") == etag["ETag"]:
            return web.Response(status=304, headers=etag)
        entries = [{"address": url, "score": 1} for url in lists[number] if world.ready[url]]
        return web.json_response(entries, headers=etag)

    async def tell(url: str) -> None:
        versions[world.urls.index(url) // SOURCE_NODES] += 1

    app = web.Application()
    app.add_routes([web.get("/{number}", told)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        sources = [{"name": f"s{n:02}", "list_url": f"{base}/{n}"} for n in range(SOURCES)]
        file = folder / "nodes.yaml"
        put(file, {"advertise": {"sources": sources}, "nodes": []})
        count = len(world.urls)
        async with advertiser(folder, count, "--nodes", str(file)) as (client, pid):
            used = cpu_seconds(pid)
            await play(world, tell, client, seconds)
            return world, (cpu_seconds(pid) - used) / seconds
    finally:
        await runner.cleanup()


def empty_table() -> Table:
    """Of what comes out of it."""
    rows = Table("nodes", "change", "count", "p50 ms", "p99 ms", "worst ms", "goal p99", "late")
    rows.add_column("CPU of the desk")
    rows.title = f"How fast the list follows, with {CHANGES_A_SECOND} changes a second"
    return rows


def fill(rows: Table, name: str, world: World, cpu: float) -> None:
    """Two rows of one case; `cpu` is the share of a core that the desk used."""
    for what, values, goal in (
        ("listed", world.listed_ms, LISTED_GOAL_MS),
        ("unlisted", world.unlisted_ms, UNLISTED_GOAL_MS),
    ):
        shown = [f"{percentile(values, share):.0f}" for share in (0.5, 0.99, 1.0)]
        late = str(world.late)
        rows.add_row(name, what, str(len(values)), *shown, f"<= {goal:.0f}", late, f"{cpu:.0%}")


async def _measure(seconds: float) -> Table:
    rows = empty_table()
    async with StandInNode(parse_flags(FLAGS)) as node:
        for name, case in (
            (f"{FILE_NODES} in a file", from_a_file),
            (f"{SOURCES} sources x {SOURCE_NODES}", from_sources),
        ):
            with tempfile.TemporaryDirectory() as scratch:
                fill(rows, name, *await case(Path(scratch), node.port, seconds))
    return rows


def main() -> int:
    """Measure and print; exit status."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    Console(width=130).print(uvloop.run(_measure(seconds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`make quick PAGES=1`: the pages of both desks without a cluster, until Ctrl-C.

Redis and the desks are the real ones, run from files; workers and nodes are stand-ins, and jobs
come and go. Prints the links.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import webbrowser
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

from redis.asyncio import Redis
from rich.console import Console

from mediafleet_common.api.egress.placement import Mode
from mediafleet_scheduler.psrpc.bus import Bus
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed import real_servers
from mediafleet_testbed.demo.quick import Quick
from mediafleet_testbed.demo.quick_nodes import Pool
from mediafleet_testbed.errors import TestbedError
from mediafleet_testbed.load import psrpc_bursts
from mediafleet_testbed.processes import Processes

JOB_SECONDS: Final = 25.0
_EVERY_SECONDS: Final = 0.4
_NODES: Final = 4
_WEB_SHARE: Final = 0.15


async def start(
    stack: AsyncExitStack, processes: Processes, directory: Path, console: Console
) -> tuple[dict[str, str], Bus]:
    """Start all; the link of each desk, and the bus that jobs come by."""
    server = stack.enter_context(real_servers.redis_server())
    client = Redis.from_url(server.url)
    stack.push_async_callback(client.aclose)
    bus = await stack.enter_async_context(RedisBus(client))
    console.print("starting ten workers, four nodes and both desks …")
    quick = Quick(processes, directory, server.url, console)
    await quick.start_workers("fleet", JOB_SECONDS)
    quick.write(Mode.TYPE_AWARE)
    pool = Pool(processes, directory, console)
    await asyncio.gather(*(pool.start_node(f"node-{number}") for number in range(_NODES)))
    pool.write(**{"node-0": "draining"})
    ports = {"fleets": real_servers.free_port(), "nodes": real_servers.free_port()}
    http = {view: f"127.0.0.1:{port}" for view, port in ports.items()}
    workers = ("--workers", str(directory / "workers.yaml"))
    nodes = ("--nodes", str(directory / "nodes.yaml"), "--listen", "127.0.0.1:0")
    for name, arguments in (
        ("egress", ("--redis", server.url, *workers, "--http", http["fleets"])),
        ("advertise", (*nodes, "--http", http["nodes"])),
    ):
        desk = await processes.python(name, "mediafleet.main", name, *arguments)
        await processes.says(desk, "ready")
    return {view: f"http://{address}/ui/" for view, address in http.items()}, bus


async def jobs(bus: Bus) -> None:
    """Ask for a job now and then, until cancelled."""
    draw = random.Random()
    async with asyncio.TaskGroup() as asked:
        while True:
            kind = psrpc_bursts.web if draw.random() < _WEB_SHARE else psrpc_bursts.track
            asked.create_task(psrpc_bursts.burst("", bus, {}, kind, count=1))
            await asyncio.sleep(draw.expovariate(1 / _EVERY_SECONDS))


async def run(console: Console, *, opened: bool) -> None:
    """All of it, until cancelled."""
    with tempfile.TemporaryDirectory(prefix="mediafleet-pages-") as scratch:
        directory = Path(scratch)
        async with AsyncExitStack() as stack:
            processes = await stack.enter_async_context(Processes(directory))
            links, bus = await start(stack, processes, directory, console)
            for view, link in links.items():
                console.print(f"{view}: {link}")
            console.print("Ctrl-C ends it.")
            if opened:
                webbrowser.open(links["fleets"])
            await jobs(bus)


def main() -> None:
    """Run until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--open", action="store_true", help="open the first page in a browser")
    chosen = parser.parse_args()
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(run(Console(highlight=False, soft_wrap=True), opened=chosen.open))
    except TestbedError as error:
        sys.exit(f"quick: {error}")


if __name__ == "__main__":
    main()

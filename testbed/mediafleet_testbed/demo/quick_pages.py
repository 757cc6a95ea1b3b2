"""`make quick PAGES=1`: all pages without a cluster, until Ctrl-C.

Redis, the desks, the AI broker with its worker and the collector are the real ones, run from files;
egress workers and nodes are stand-ins, and jobs come and go. Prints the links.
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
from mediafleet_testbed.demo.quick_workers import HEARING, Broker, listening
from mediafleet_testbed.errors import TestbedError
from mediafleet_testbed.load import psrpc_bursts
from mediafleet_testbed.processes import Processes

JOB_SECONDS: Final = 25.0
_EVERY_SECONDS: Final = 0.4
_NODES: Final = 4
_WEB_SHARE: Final = 0.15
_TASK_SECONDS: Final = 5.0


async def start(
    stack: AsyncExitStack, processes: Processes, directory: Path, console: Console
) -> tuple[dict[str, str], Bus]:
    """Start desks and workers; the link of each desk, and the bus that jobs come by."""
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
    shared = directory / "community.yaml"
    shared.write_text("region: this-machine\n", encoding="utf-8")
    ports = {"fleets": real_servers.free_port(), "nodes": real_servers.free_port()}
    http = {view: f"127.0.0.1:{port}" for view, port in ports.items()}
    workers = ("--workers", str(directory / "workers.yaml"))
    nodes = ("--nodes", str(directory / "nodes.yaml"), "--listen", "127.0.0.1:0")
    for name, arguments in (
        ("egress", ("--redis", server.url, *workers, "--http", http["fleets"])),
        ("advertise", (*nodes, "--http", http["nodes"], "--community", str(shared))),
    ):
        desk = await processes.python(name, "mediafleet.main", name, *arguments)
        await processes.says(desk, "ready")
    return {view: f"http://{address}/ui/" for view, address in http.items()}, bus


async def start_others(
    processes: Processes, directory: Path, nodes: str, console: Console
) -> tuple[dict[str, str], Broker]:
    """Start the AI broker with a worker, and a collector that asks the advertiser; their links."""
    console.print("starting an AI broker with a worker, and a collector …")
    broker = Broker(processes, directory, [HEARING])
    await broker.start()
    await broker.add_worker("ai-worker")
    listen = f"127.0.0.1:{real_servers.free_port()}"
    collector = await processes.python(
        "collector",
        "mediafleet.main",
        *("community", "collect", "--target", nodes.removesuffix("/ui/"), "--listen", listen),
        *("--operator", "this machine, to look at"),
    )
    await processes.says(collector, "ready")
    return {"AI workers": f"http://{broker.http}/ui/", "map": f"http://{listen}/"}, broker


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
            others, broker = await start_others(processes, directory, links["nodes"], console)
            for view, link in {**links, **others}.items():
                console.print(f"{view}: {link}")
            console.print("Ctrl-C ends it.")
            if opened:
                webbrowser.open(links["fleets"])
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(listening(broker, _TASK_SECONDS))
                tasks.create_task(jobs(bus))


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

"""Whether a StartEgress costs two desks more CPU the more jobs run already.

`python -m bench.egress_running [STARTS [RATE [JOBS…]]]`. 1,000 pods, jobs that go on. So many jobs
are started first; then CPU is counted over STARTS more at a fixed rate that leaves room.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis.asyncio as redis
import uvloop
from bench.egress_bursts import CPUS
from bench.egress_latency import cpu_seconds, load, start_desk
from bench.egress_throughput import at_rate, calls
from rich.console import Console
from rich.table import Table

from mediafleet_common.serving.run import calm_collector
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.load.bursts import quantile
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import redis_server

PODS: Final = 1000
JOBS: Final = (100, 3000, 10_000)
"""How many run when the starts begin that are counted."""
STARTS: Final = 1000
RATE: Final = 150.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One row; milliseconds."""

    running: int
    failed: int
    cpu_ms: Sequence[float]
    """A start, of each desk."""
    p50_ms: float


async def run(starts: int, rate: float, jobs: Sequence[int]) -> list[Figure]:
    """All rows."""
    figures: list[Figure] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mediafleet-bench-")))
        url = stack.enter_context(redis_server()).url
        connection = redis.Redis.from_url(url)
        stack.push_async_callback(connection.aclose)
        processes = await stack.enter_async_context(Processes(folder))
        bus = await stack.enter_async_context(RedisBus(connection))
        client = await stack.enter_async_context(Client(bus, "EgressInternal"))
        pods = await processes.python("pods", "bench.egress_bursts", "pods", url, str(PODS), "0")
        await processes.says(pods, "pods ready", 120)
        desks = [
            await start_desk(processes, folder, url, PODS, f"desk {number}", CPUS)
            for number in (1, 2)
        ]
        call = calls(client, None)
        there = 0
        for wanted in jobs:
            took, _, _ = await at_rate(call, rate, max(0, wanted - there) / rate)
            there += len(took)
            before = [cpu_seconds(desk.process.pid) for desk in desks]
            took, failed, _ = await at_rate(call, rate, starts / rate)
            after = [cpu_seconds(desk.process.pid) for desk in desks]
            spent = [1000 * (b - a) / starts for a, b in zip(before, after, strict=True)]
            p50 = 1000 * (quantile(took, 0.5) or 0.0)
            figures.append(Figure(there, failed, spent, p50))
            there += len(took)
    return figures


def main() -> None:
    """Measure and print."""
    given = [float(each) for each in sys.argv[1:]]
    starts = int(given[0]) if given else STARTS
    rate = given[1] if len(given) > 1 else RATE
    jobs = [int(each) for each in given[2:]] or JOBS
    calm_collector()
    figures = uvloop.run(run(starts, rate, jobs))
    rows = Table(title=f"CPU ms a start, {PODS} pods, {starts} starts at {rate:g} a second")
    for head in ("jobs that run", "failed", "desk 1", "desk 2", "both", "of the first", "p50 ms"):
        rows.add_column(head, justify="right")
    first = sum(figures[0].cpu_ms)
    for one in figures:
        both = sum(one.cpu_ms)
        spent = (*one.cpu_ms, both, both / first if first else 0.0, one.p50_ms)
        counts = (str(one.running), str(one.failed))
        rows.add_row(*counts, *(f"{each:.2f}" for each in spent))
    rows.caption = f"Goal: flat. {load()}"
    Console(width=110).print(rows)


if __name__ == "__main__":
    main()

"""How many StartEgress a second two desks place, and what a desk adds to pods that take a while.

`python -m bench.egress_throughput [SECONDS [RATE…]]`. Requests come at a fixed rate, whether
earlier ones are answered or not; it rises until they are answered late, or not at all. Redis, each
desk, all pods together and the caller are a process each, on the same machine. The baseline is the
same caller and the same pods without a desk: requests straight to the topics of the pods by turns.
Each row is printed as soon as it is measured. With RATEs only those are measured, and no baseline.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis.asyncio as redis
import uvloop
from bench.egress_latency import cpu_seconds, fleet, load, measure, start_desk
from livekit.protocol import egress as livekit
from rich.console import Console
from rich.table import Table

from mediafleet_common.serving.run import calm_collector
from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.psrpc.selection import ACCEPT_FIRST, UPSTREAM_START_EGRESS
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.errors import PsrpcError
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.load.bursts import quantile
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import redis_server

PODS: Final = 50
RATES: Final = (200, 500, 800, 1000, 1300, 2000)
SECONDS: Final = 10.0
GOAL_P99_SECONDS: Final = 0.06
SLOW_START_SECONDS: Final = 0.3
IN_FLIGHT: Final = 200
MOST_FAILED: Final = 50
"""After so many a rate is not gone on with: each would wait for its time."""

Call = Callable[[], Awaitable[bool]]
"""One StartEgress; whether it was answered without an error."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One row."""

    placed_by: str
    rate: float
    seconds: Sequence[float]
    failed: int
    took: float
    desk_cpu_seconds: float | None = None

    @property
    def kept_up(self) -> bool:
        """Whether all were answered, and soon."""
        p99 = quantile(self.seconds, 0.99)
        return not self.failed and p99 is not None and p99 <= GOAL_P99_SECONDS


def calls(client: Client, pods: int | None) -> Call:
    """Calls through the desks, or straight to the topics of so many pods."""
    turns = itertools.cycle(range(pods)) if pods else None
    track = livekit.TrackEgressRequest(room_name="bench", track_id="TR_1").SerializeToString()

    async def call() -> bool:
        request = StartEgressRequest(egress_id=f"EG_{uuid.uuid4().hex[:12]}", track=track)
        topic = (f"pod-{next(turns)}",) if turns else ()
        try:
            answer = await client.request(
                "StartEgress",
                request.SerializeToString(),
                topic,
                timeout_seconds=10,
                selection=ACCEPT_FIRST if turns else UPSTREAM_START_EGRESS,
            )
        except PsrpcError:
            return False
        return answer.error is None

    return call


async def at_rate(call: Call, rate: float, seconds: float) -> tuple[list[float], int, float]:
    """Seconds of each call that was answered, how many failed, and how long all of them took."""
    took: list[float] = []
    failed = 0

    async def one() -> None:
        nonlocal failed
        began = time.perf_counter()
        if await call():
            took.append(time.perf_counter() - began)
        else:
            failed += 1

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            if failed > MOST_FAILED:
                break
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            tasks.create_task(one())
    return took, failed, time.perf_counter() - began


async def rising(
    name: str, call: Call, seconds: float, rates: Sequence[float], desks: Sequence[int] = ()
) -> list[Figure]:
    """Rates one after the other, until one is too much; `desks`: their process ids."""
    figures: list[Figure] = []
    for rate in rates:
        before = sum(map(cpu_seconds, desks))
        took, failed, all_took = await at_rate(call, rate, seconds)
        used = sum(map(cpu_seconds, desks)) - before if desks else None
        figures.append(Figure(name, rate, took, failed, all_took, used))
        print("  ".join(row(figures[-1])), flush=True)
        if not figures[-1].kept_up:
            break
    return figures


async def in_flight(call: Call) -> Figure:
    """So many calls at once to pods that take a while."""
    took, failed, all_took = await at_rate(call, IN_FLIGHT / SLOW_START_SECONDS, SLOW_START_SECONDS)
    return Figure("", IN_FLIGHT, took, failed, all_took)


async def run(
    seconds: float, rates: Sequence[float]
) -> tuple[list[Figure], Figure | None, Figure | None]:
    """All rows of the first table, and both of the second."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mediafleet-bench-")))
        server = stack.enter_context(redis_server())
        connection = redis.Redis.from_url(server.url)
        stack.push_async_callback(connection.aclose)
        processes = await stack.enter_async_context(Processes(folder))
        bus = await stack.enter_async_context(RedisBus(connection))
        client = await stack.enter_async_context(Client(bus, "EgressInternal"))
        # What comes last is overloaded, and its pods are of no use to what would come after.
        async with fleet(processes, server.url, PODS, upstream=False):
            desks = [
                await start_desk(processes, folder, server.url, PODS, f"desk-{n}") for n in (1, 2)
            ]
            await measure(client, 50)
            pids = [desk.process.pid for desk in desks]
            asked = calls(client, None)
            figures = await rising("two desks", asked, seconds, rates or RATES, pids)
            await processes.dismiss(*desks)
        if rates:
            return figures, None, None
        async with fleet(processes, server.url, PODS, upstream=False):
            figures += await rising("nobody", calls(client, PODS), seconds, RATES)
        async with fleet(processes, server.url, PODS, False, SLOW_START_SECONDS):
            straight = await in_flight(calls(client, PODS))
            desk = await start_desk(processes, folder, server.url, PODS, "desk-3")
            await measure(client, 5)
            through = await in_flight(calls(client, None))
            await processes.dismiss(desk)
    return figures, straight, through


def milliseconds(figure: Figure) -> list[str]:
    """Its quantiles."""
    return [f"{1000 * (quantile(figure.seconds, q) or 0.0):.1f}" for q in (0.5, 0.99, 1.0)]


def row(one: Figure) -> list[str]:
    """The cells of a row."""
    answered = f"{len(one.seconds) / one.took:.0f}"
    calls_made = len(one.seconds) + one.failed
    cpu = one.desk_cpu_seconds
    used = "-" if cpu is None else f"{1000 * cpu / calls_made:.2f}"
    counts = (f"{one.rate:.0f}", answered, str(one.failed))
    return [one.placed_by, *counts, *milliseconds(one), used]


def main() -> None:
    """Measure and print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    rates = [float(each) for each in sys.argv[2:]]
    calm_collector()
    figures, straight, through = uvloop.run(run(seconds, rates))
    console = Console(width=110)
    rows = Table(title=f"StartEgress a second, {PODS} pods, jobs that end at once")
    heads = ("placed by", "asked a s", "answered a s", "failed", "p50 ms", "p99 ms", "max ms")
    for head in (*heads, "desks' CPU ms a call"):
        rows.add_column(head, justify="left" if head == "placed by" else "right")
    for one in figures:
        rows.add_row(*row(one))
    rows.caption = f"Goal: 1,000 a second with p99 60 ms and no failure. {load()}"
    console.print(rows)
    if straight is None or through is None:
        return
    slow = Table(title=f"{IN_FLIGHT} starts in flight, pods that take {SLOW_START_SECONDS:g} s")
    for head in ("placed by", "answered", "failed", "p50 ms", "p99 ms", "max ms"):
        slow.add_column(head, justify="left" if head == "placed by" else "right")
    for name, one in (("nobody", straight), ("one desk", through)):
        slow.add_row(name, str(len(one.seconds)), str(one.failed), *milliseconds(one))
    slow.caption = f"Goal: a desk adds 5 ms. {load()}"
    console.print(slow)


if __name__ == "__main__":
    main()

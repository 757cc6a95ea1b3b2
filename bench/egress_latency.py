"""How long a StartEgress takes through the desk, beside upstream's auction in the same run.

`python -m bench.egress_latency [CALLS [PODS…]]`. Serial calls through psrpc of jobs that end at
once, all pods idle, with livekit-server's own options. Redis, the desk, and all pods together are a
process each; the pods are stand-ins that answer without GStreamer, so what is measured is the
placing. The same calls straight to the topics of the pods, without a desk, tell what of it and of
its growth with the pods is not the desk's.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis.asyncio as redis
import uvloop
import yaml
from livekit.protocol import egress as livekit
from rich.console import Console
from rich.table import Table

from mediafleet_common.serving.run import calm_collector
from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.psrpc.selection import ACCEPT_FIRST, UPSTREAM_START_EGRESS
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.load.bursts import quantile
from mediafleet_testbed.processes import Member, Processes
from mediafleet_testbed.real_servers import redis_server
from mediafleet_testbed.standins.egress_rules import Admission
from mediafleet_testbed.standins.egress_worker import Conduct, Io, Worker

FLEETS: Final = (10, 50, 200)
CALLS: Final = 1000
UPSTREAM_CALLS: Final = 6
"""An auction among idle pods takes half a second."""
WARM_UP_CALLS: Final = 50
START_SECONDS: Final = 300.0
"""A process that starts on a busy machine is waited for so long."""
STRAIGHT: Final = "nobody: straight to the pods"
DESK: Final = "mediafleet"
GOAL_P50_MS: Final = 3.0
GOAL_P99_MS: Final = 10.0
GOAL_RATIO: Final = 1.2
"""Of the median with the most pods to that with the fewest."""
CPUS: Final = 12.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One row."""

    placed_by: str
    pods: int
    seconds: Sequence[float]
    failed: int
    cpu_seconds: float | None = None
    """Of the desk, for all calls."""


async def pods(url: str, count: int, upstream: bool, start_seconds: float) -> None:
    """Be `count` stand-in pods, until this process is ended."""
    client = redis.Redis.from_url(url)
    conduct = Conduct(
        job_seconds=0.0, start_seconds=start_seconds, upstream=upstream, io=Io.PUBLISH
    )
    with contextlib.redirect_stdout(None):
        async with AsyncExitStack() as stack:
            for number in range(count):
                bus = await stack.enter_async_context(RedisBus(client))
                worker = Worker(bus, f"pod-{number}", Admission(CPUS), conduct)
                await stack.enter_async_context(worker)
            print("pods ready", file=sys.stderr, flush=True)
            await asyncio.Event().wait()


@asynccontextmanager
async def fleet(
    processes: Processes, url: str, count: int, upstream: bool, start_seconds: float = 0.0
) -> AsyncIterator[None]:
    """Pods in a process of their own."""
    kind = "upstream" if upstream else "own-topic"
    arguments = ("pods", url, str(count), kind, str(start_seconds))
    name = f"pods-{count}-{kind}-{start_seconds}"
    member = await processes.python(name, "bench.egress_latency", *arguments)
    await processes.says(member, "pods ready", START_SECONDS)
    yield
    await processes.dismiss(member)


async def measure(client: Client, calls: int, pods: int = 0) -> tuple[list[float], int]:
    """Seconds of each call that was answered, and how many were not; with `pods` straight to so
    many, by turns."""
    seconds: list[float] = []
    track = livekit.TrackEgressRequest(room_name="bench", track_id="TR_1").SerializeToString()
    topics = itertools.cycle([(f"pod-{number}",) for number in range(pods)] or [()])
    for topic in itertools.islice(topics, calls):
        request = StartEgressRequest(egress_id=f"EG_{uuid.uuid4().hex[:12]}", track=track)
        payload = request.SerializeToString()
        began = time.perf_counter()
        answer = await client.request(
            "StartEgress",
            payload,
            topic,
            timeout_seconds=10,
            selection=ACCEPT_FIRST if pods else UPSTREAM_START_EGRESS,
        )
        if answer.error is None:
            seconds.append(time.perf_counter() - began)
    return seconds, calls - len(seconds)


async def start_desk(
    processes: Processes, folder: Path, url: str, count: int, name: str, cpus: float = CPUS
) -> Member:
    """A desk for so many pods."""
    workers = [{"name": f"pod-{n}", "cluster_id": f"pod-{n}", "cpu": cpus} for n in range(count)]
    file = folder / f"workers-{count}.yaml"
    fleets = [{"name": "bench", "placement": {"mode": "spread"}, "workers": workers}]
    file.write_text(yaml.safe_dump({"fleets": fleets}))
    options = ("--redis", url, "--workers", str(file), "--http", "127.0.0.1:0")
    desk = await processes.python(name, "mediafleet.main", "egress", *options)
    await processes.says(desk, "ready", START_SECONDS)
    return desk


async def through_desk(
    processes: Processes, folder: Path, url: str, client: Client, count: int, calls: int
) -> Figure:
    """Calls that the desk places."""
    desk = await start_desk(processes, folder, url, count, f"desk-{count}")
    await measure(client, WARM_UP_CALLS)
    before = cpu_seconds(desk.process.pid)
    seconds, failed = await measure(client, calls)
    used = cpu_seconds(desk.process.pid) - before
    await processes.dismiss(desk)
    return Figure(DESK, count, seconds, failed, used)


def cpu_seconds(pid: int) -> float:
    """CPU that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def run(calls: int, fleets: Sequence[int] = FLEETS) -> list[Figure]:
    """All rows."""
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory(prefix="mediafleet-bench-") as scratch,
        redis_server() as server,
    ):
        connection = redis.Redis.from_url(server.url)
        folder = Path(scratch)
        async with (
            Processes(folder) as processes,
            RedisBus(connection) as bus,
            Client(bus, "EgressInternal") as client,
        ):
            for count in fleets:
                async with fleet(processes, server.url, count, upstream=True):
                    seconds, failed = await measure(client, UPSTREAM_CALLS)
                    figures.append(Figure("upstream's auction", count, seconds, failed))
                async with fleet(processes, server.url, count, upstream=False):
                    seconds, failed = await measure(client, calls, count)
                    figures.append(Figure(STRAIGHT, count, seconds, failed))
                    figures.append(
                        await through_desk(processes, folder, server.url, client, count, calls)
                    )
        await connection.aclose()
    return figures


def table(figures: Sequence[Figure]) -> Table:
    """The rows beside their goals."""
    rows = Table(title="StartEgress of jobs that end at once, serial, all pods idle")
    for name in (
        "placed by",
        "pods",
        "calls",
        "failed",
        "p50 ms",
        "p99 ms",
        "max ms",
        "CPU ms a call",
    ):
        rows.add_column(name, justify="left" if name == "placed by" else "right")
    for one in figures:
        shares = [quantile(one.seconds, share) or 0.0 for share in (0.5, 0.99, 1.0)]
        calls = len(one.seconds) + one.failed
        cpu = "-" if one.cpu_seconds is None else f"{1000 * one.cpu_seconds / calls:.2f}"
        figures_ms = (f"{1000 * seconds:.1f}" for seconds in shares)
        rows.add_row(one.placed_by, str(one.pods), str(calls), str(one.failed), *figures_ms, cpu)
    rows.caption = (
        f"Goals: p50 {GOAL_P50_MS:g} ms, p99 {GOAL_P99_MS:g} ms. {growth(figures)} {load()}"
    )
    return rows


def growth(figures: Sequence[Figure]) -> str:
    """How much slower the median is with the most pods than with the fewest."""
    of_desk, straight = (_ratio(figures, who) for who in (DESK, STRAIGHT))
    few, many = (pick(one.pods for one in figures) for pick in (min, max))
    return f"p50({many})/p50({few}): {of_desk}, without a desk {straight}, goal {GOAL_RATIO:g}."


def _ratio(figures: Sequence[Figure], who: str) -> str:
    medians = {one.pods: quantile(one.seconds, 0.5) for one in figures if one.placed_by == who}
    quick, slow = medians.get(min(medians)), medians.get(max(medians))
    return f"{slow / quick:.2f}" if slow and quick else "unknown"


def load() -> str:
    """How busy the machine is with other things, without which the figures say little."""
    return f"{os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}."


def main() -> None:
    """Measure and print."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else CALLS
    fleets = [int(each) for each in sys.argv[2:]] or FLEETS
    Console(width=110).print(table(uvloop.run(run(calls, fleets))))


if __name__ == "__main__":
    if sys.argv[1:2] == ["pods"]:
        url, count, kind, start = sys.argv[2:6]
        calm_collector()
        uvloop.run(pods(url, int(count), kind == "upstream", float(start)))
    else:
        main()

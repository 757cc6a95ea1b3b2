"""What a large ledger costs: memory of Redis a job, and how soon a desk that starts has read it.

`python -m bench.egress_ledger [JOBS]`. Jobs are claimed and started on 1,000 pods through the
desk's own store. Then a store is opened anew, and a desk is started: both read all of it. And a
call of a script over the ledger's own connection beside one over redis-py's pool, by turns.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis.asyncio as redis
import uvloop
from bench.egress_latency import cpu_seconds, load, start_desk
from rich.console import Console
from rich.table import Table

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.serving.run import calm_collector
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.egress.ledger.records import Record
from mediafleet_scheduler.egress.ledger.script_calls import Asked, ScriptClient
from mediafleet_scheduler.egress.ledger.script_link import ScriptLink
from mediafleet_scheduler.egress.ledger.store import Store
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import redis_server

JOBS: Final = 10_000
PODS: Final = 1000
AT_ONCE: Final = 50
ANSWER_SECONDS: Final = 5.0
CALLS: Final = 300
ROUNDS: Final = 9
GOAL_BYTES: Final = 1000
GOAL_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Start:
    """A desk's, until it says that it is ready."""

    seconds: float
    cpu_seconds: float

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, CPU {self.cpu_seconds:.2f} s"


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured; seconds, and bytes a job."""

    jobs: int
    table_bytes: float
    """Of the table of jobs."""
    log_bytes: float
    """Of the log of changes: it does not grow beyond its last 10,000."""
    read: float
    """A store reads all of it."""
    no_jobs: Start
    """A desk starts with an empty ledger."""
    all_jobs: Start
    """A desk starts with all of it."""
    link_us: float
    """CPU of a call over the ledger's own connection."""
    pool_us: float
    """The same over redis-py's pool of connections."""


def job(number: int) -> Job:
    """One of many, as a desk makes it."""
    pod = f"rec-{number % PODS}"
    return Job(
        egress_id=f"EG_{number:012}",
        fleet="media/recordings",
        worker=pod,
        worker_uid=f"0b7a1c1e-5f0e-4c55-9d5c-{number % PODS:012}",
        cluster_id=pod,
        kind=RequestType.ROOM_COMPOSITE,
        cores=3.0,
        token=f"{number:016x}",
        claimed_at=time.time(),
        room=f"room-{number % 500}",
    )


async def fill(store: Store, jobs: int) -> None:
    """So many jobs that run."""
    for first in range(0, jobs, AT_ONCE):
        batch = [job(number) for number in range(first, min(jobs, first + AT_ONCE))]
        assert await store.claim([(each, "") for each in batch]) is not None
        started = [
            Record(each._replace(started_at=time.time(), server_id="SRV_abcdefghijkl"), bytes(60))
            for each in batch
        ]
        await store.write([store.started(each) for each in started])


async def desk_starts(processes: Processes, folder: Path, url: str, name: str) -> Start:
    """How a desk starts."""
    began = time.perf_counter()
    desk = await start_desk(processes, folder, url, 1, name)
    start = Start(time.perf_counter() - began, cpu_seconds(desk.process.pid))
    await processes.dismiss(desk)
    return start


async def calls_by_turns(client: redis.Redis) -> tuple[float, float]:
    """CPU microseconds of a call over a connection of its own, and over the pool; medians."""
    link, pool = ScriptLink(client, ANSWER_SECONDS), ScriptClient(client, ANSWER_SECONDS)
    sha = await link.load("return {ARGV[1], 1, '', ''}")
    spent: dict[Asked, list[float]] = {link: [], pool: []}
    for _ in range(ROUNDS):
        for asked, seconds in spent.items():
            began = time.process_time()
            for number in range(CALLS):
                await asked.evalsha(sha, ["k1", "k2", "k3", "k4"], ["epoch", number, "x"])
            seconds.append(time.process_time() - began)
    await link.close()
    of_link, of_pool = (1e6 * statistics.median(each) / CALLS for each in spent.values())
    return of_link, of_pool


async def run(jobs: int) -> Figures:
    """Measure."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mediafleet-bench-")))
        server = stack.enter_context(redis_server())
        client = redis.Redis.from_url(server.url, decode_responses=True, protocol=2)
        stack.push_async_callback(client.aclose)
        processes = await stack.enter_async_context(Processes(folder))
        no_jobs = await desk_starts(processes, folder, server.url, "empty")
        store, anew = Store(client, Ledger()), Store(client, Ledger())
        stack.push_async_callback(store.close)
        stack.push_async_callback(anew.close)
        await store.open()
        await fill(store, jobs)
        sizes = [
            await client.memory_usage(f"mediafleet:{{egress/0}}:{name}", samples=0)
            for name in ("jobs", "log")
        ]
        began = time.perf_counter()
        await anew.open()
        read = time.perf_counter() - began
        assert len(anew.copy.records) == jobs
        all_jobs = await desk_starts(processes, folder, server.url, "full")
        link_us, pool_us = await calls_by_turns(client)
    table, log = (int(size or 0) / jobs for size in sizes)
    return Figures(jobs, table, log, read, no_jobs, all_jobs, link_us, pool_us)


def main() -> None:
    """Measure and print."""
    calm_collector()
    found = uvloop.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else JOBS))
    rows = Table("what", "figure", "goal", title=f"A ledger of {found.jobs} jobs, {PODS} pods")
    in_all = found.table_bytes + found.log_bytes
    said = f"{in_all:.0f} B: table {found.table_bytes:.0f}, log {found.log_bytes:.0f}"
    rows.add_row("Redis memory a job", said, f"{GOAL_BYTES} B")
    rows.add_row("a store reads it", f"{found.read:.2f} s", f"{GOAL_SECONDS:g} s")
    rows.add_row("a desk is ready, empty ledger", str(found.no_jobs), "")
    rows.add_row("a desk is ready, this ledger", str(found.all_jobs), "")
    rows.add_row("CPU of a call, own connection", f"{found.link_us:.0f} us", "")
    rows.add_row("CPU of a call, redis-py's pool", f"{found.pool_us:.0f} us", "")
    rows.caption = load()
    Console(width=100).print(rows)


if __name__ == "__main__":
    main()

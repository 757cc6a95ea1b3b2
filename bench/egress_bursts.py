"""How soon two desks answer a burst of StartEgress, and how even its jobs are spread.

`python -m bench.egress_bursts [ROUNDS]`. 51 at once on 10 pods, 1,000 on 50: each burst on idle
pods, the first of each size to warm up. The pods are asked themselves what they run. Redis, each
desk, all pods together and the caller are a process each.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis.asyncio as redis
import uvloop
from bench.egress_latency import load, start_desk
from bench.egress_throughput import calls
from rich.console import Console
from rich.table import Table

from mediafleet_common.serving.run import calm_collector
from mediafleet_common.wire.egress_pb2 import ListActiveEgressResponse
from mediafleet_scheduler.egress.peers.active_list import LIST_ACTIVE_EGRESS
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import redis_server
from mediafleet_testbed.standins.egress_rules import Admission
from mediafleet_testbed.standins.egress_worker import Conduct, Io, Worker
from mediafleet_testbed.story.waiting import until

BURSTS: Final = ((51, 10, 0.045), (1000, 50, 0.9))
"""Starts, pods, and the seconds in which all of them are to be answered."""
ROUNDS: Final = 5
JOB_SECONDS: Final = 8.0
"""A burst is answered and counted by then."""
REST_SECONDS: Final = 2.0
CPUS: Final = 40.0
LIST_SECONDS: Final = 3.0
EMPTY_WITHIN_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Burst:
    """One."""

    seconds: float
    """Until the last was answered."""
    failed: int
    jobs: Sequence[int]
    """Of each pod."""

    @property
    def skew(self) -> int:
        """Jobs that the fullest pod has more than the emptiest."""
        return max(self.jobs) - min(self.jobs)


async def pods(url: str, count: int, job_seconds: float | None) -> None:
    """Be `count` stand-in pods on one connection, until this process is ended."""
    conduct = Conduct(job_seconds=job_seconds, start_seconds=0.0, upstream=False, io=Io.PUBLISH)
    with contextlib.redirect_stdout(None):
        async with AsyncExitStack() as stack:
            bus = await stack.enter_async_context(RedisBus(redis.Redis.from_url(url)))
            for number in range(count):
                worker = Worker(bus, f"pod-{number}", Admission(CPUS), conduct)
                await stack.enter_async_context(worker)
            print("pods ready", file=sys.stderr, flush=True)
            await asyncio.Event().wait()


async def running(client: Client, count: int) -> list[int]:
    """How many jobs each pod has."""
    answers = await client.request_all(
        LIST_ACTIVE_EGRESS, b"", timeout_seconds=LIST_SECONDS, expected=count
    )
    found = [len(ListActiveEgressResponse.FromString(each.payload).egress_ids) for each in answers]
    return found + [0] * (count - len(found))


async def burst(client: Client, starts: int, count: int) -> Burst:
    """So many at once, and then none is left."""
    call = calls(client, None)
    began = time.perf_counter()
    answered = await asyncio.gather(*(call() for _ in range(starts)))
    seconds = time.perf_counter() - began
    jobs = await running(client, count)
    await until(
        "no job is left",
        lambda: running(client, count),
        lambda found: not sum(found),
        seconds=EMPTY_WITHIN_SECONDS,
    )
    await asyncio.sleep(REST_SECONDS)
    return Burst(seconds, answered.count(False), jobs)


async def of_size(starts: int, count: int, rounds: int) -> list[Burst]:
    """Rounds of one size."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mediafleet-bench-")))
        url = stack.enter_context(redis_server()).url
        connection = redis.Redis.from_url(url)
        stack.push_async_callback(connection.aclose)
        processes = await stack.enter_async_context(Processes(folder))
        bus = await stack.enter_async_context(RedisBus(connection))
        client = await stack.enter_async_context(Client(bus, "EgressInternal"))
        arguments = ("pods", url, str(count), str(JOB_SECONDS))
        member = await processes.python("pods", "bench.egress_bursts", *arguments)
        await processes.says(member, "pods ready", 120)
        for number in (1, 2):
            await start_desk(processes, folder, url, count, f"desk {number}", CPUS)
        await burst(client, starts, count)
        return [await burst(client, starts, count) for _ in range(rounds)]


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    calm_collector()
    rows = Table(title=f"Bursts of StartEgress, two desks, {rounds} rounds")
    for head in ("starts", "pods", "median ms", "all ms", "goal ms", "failed", "most uneven"):
        rows.add_column(head, justify="right")
    for starts, count, goal in BURSTS:
        found = uvloop.run(of_size(starts, count, rounds))
        taken = sorted(1000 * one.seconds for one in found)
        rows.add_row(
            *(str(starts), str(count), f"{statistics.median(taken):.0f}"),
            " ".join(f"{each:.0f}" for each in taken),
            f"{1000 * goal:.0f}",
            str(sum(one.failed for one in found)),
            str(max(one.skew for one in found)),
        )
    rows.caption = f"Goal: no pod has two jobs more than another. {load()}"
    Console(width=110).print(rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["pods"]:
        calm_collector()
        given = float(sys.argv[4])
        uvloop.run(pods(sys.argv[2], int(sys.argv[3]), given or None))
    else:
        main()

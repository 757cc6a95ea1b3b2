"""How much CPU a StartEgress costs two desks, beside what Redis and the pods need for it.

`python -m bench.egress_cpu [STARTS [RATE [PODS…]]]`. Requests come at a fixed rate that leaves
room: what is counted is CPU, not time. The baseline is the bare part of the same work in the same
run: Redis, and all pods. Then one desk is given every request, to see what the other spends on a
request that it is not granted.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis.asyncio as redis
import uvloop
from bench.egress_latency import CPUS, START_SECONDS, cpu_seconds, load, measure, start_desk
from bench.egress_throughput import at_rate, calls
from rich.console import Console
from rich.table import Table

from mediafleet_common.serving.run import calm_collector
from mediafleet_scheduler.psrpc.bus import Bus, Receiver, Subscription
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.envelope import Bid, decode
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import redis_server
from mediafleet_testbed.standins.egress_rules import Admission
from mediafleet_testbed.standins.egress_worker import Conduct, Io, Worker

FLEETS: Final = (50, 1000)
STARTS: Final = 3000
RATE: Final = 250.0
WARM_UP_CALLS: Final = 100
GOAL_MS: Final = {50: 0.9, 1000: 1.0}
GOAL_NOT_GRANTED_MS: Final = 0.2


class OneServer:
    """A bus on which bids of one server alone are heard: of that which bids first."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.server_id: str | None = None

    def publish(self, channel: str, data: bytes) -> None:
        """Send, as the bus does."""
        self._bus.publish(channel, data)

    async def subscribe(self, channel: str, receive: Receiver) -> Subscription:
        """Listen, except to bids of others."""
        if not channel.endswith("|CLAIM"):
            return await self._bus.subscribe(channel, receive)

        def first_only(data: bytes) -> None:
            bidder = decode(data, Bid).server_id
            self.server_id = self.server_id or bidder
            if bidder == self.server_id:
                receive(data)

        return await self._bus.subscribe(channel, first_only)


@dataclass(frozen=True, slots=True)
class Figure:
    """CPU milliseconds a start, by process."""

    pods: int
    granted: str
    starts: int
    failed: int
    cpu_ms: Mapping[str, float]

    @property
    def desks_ms(self) -> float:
        """Of both desks."""
        return self.cpu_ms["desk 1"] + self.cpu_ms["desk 2"]


async def pods(url: str, count: int) -> None:
    """Be `count` stand-in pods on one connection, until this process is ended."""
    conduct = Conduct(job_seconds=0.0, start_seconds=0.0, upstream=False, io=Io.PUBLISH)
    with contextlib.redirect_stdout(None):
        async with AsyncExitStack() as stack:
            bus = await stack.enter_async_context(RedisBus(redis.Redis.from_url(url)))
            for number in range(count):
                worker = Worker(bus, f"pod-{number}", Admission(CPUS), conduct)
                await stack.enter_async_context(worker)
            print("pods ready", file=sys.stderr, flush=True)
            await asyncio.Event().wait()


@asynccontextmanager
async def fleet(processes: Processes, url: str, count: int) -> AsyncIterator[int]:
    """Pods in a process of their own; its id."""
    member = await processes.python(f"pods-{count}", "bench.egress_cpu", "pods", url, str(count))
    await processes.says(member, "pods ready", START_SECONDS)
    yield member.process.pid
    await processes.dismiss(member)


async def used(
    client: Client, count: int, granted: str, pids: Mapping[str, int], starts: int, rate: float
) -> Figure:
    """CPU of each process over so many starts at the rate."""
    await measure(client, WARM_UP_CALLS)
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    _, failed, _ = await at_rate(calls(client, None), rate, starts / rate)
    spent = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
    cpu_ms = {name: 1000 * seconds / starts for name, seconds in spent.items()}
    return Figure(count, granted, starts, failed, cpu_ms)


async def run(starts: int, rate: float, fleets: Sequence[int]) -> list[Figure]:
    """All rows."""
    figures: list[Figure] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mediafleet-bench-")))
        processes = await stack.enter_async_context(Processes(folder))
        for count in fleets:
            with redis_server() as server:
                connection = redis.Redis.from_url(server.url)
                async with (
                    fleet(processes, server.url, count) as pods_pid,
                    RedisBus(connection) as bus,
                    Client(bus, "EgressInternal") as first_come,
                    Client(OneServer(bus), "EgressInternal") as always_one,
                ):
                    pids = {"Redis": server.process.pid, "pods": pods_pid}
                    desks = []
                    for number in (1, 2):
                        name = f"desk {number}"
                        desk = await start_desk(processes, folder, server.url, count, name)
                        desks.append(desk)
                        pids[name] = desk.process.pid
                    for granted, client in (("first bid", first_come), ("one desk", always_one)):
                        figures.append(await used(client, count, granted, pids, starts, rate))
                    await processes.dismiss(*desks)
                await connection.aclose()
    return figures


def table(figures: Sequence[Figure], rate: float) -> Table:
    """The rows beside their goals."""
    rows = Table(title=f"CPU ms a StartEgress, two desks, {rate:g} starts a second")
    names = ("desk 1", "desk 2", "Redis", "pods")
    for head in ("granted to", "pods", "starts", "failed", *names, "desks", "goal"):
        rows.add_column(head, justify="left" if head == "granted to" else "right")
    for one in figures:
        spent = (f"{one.cpu_ms[name]:.2f}" for name in names)
        counts = (str(one.pods), str(one.starts), str(one.failed))
        goal = f"{GOAL_MS[one.pods]:g}" if one.pods in GOAL_MS else "-"
        rows.add_row(one.granted, *counts, *spent, f"{one.desks_ms:.2f}", goal)
    rows.caption = f"Goal of the desk that is not granted: {GOAL_NOT_GRANTED_MS:g} ms. {load()}"
    return rows


def main() -> None:
    """Measure and print."""
    given = sys.argv[1:]
    starts = int(given[0]) if given else STARTS
    rate = float(given[1]) if len(given) > 1 else RATE
    calm_collector()
    figures = uvloop.run(run(starts, rate, [int(each) for each in given[2:]] or FLEETS))
    Console(width=110).print(table(figures, rate))


if __name__ == "__main__":
    if sys.argv[1:2] == ["pods"]:
        calm_collector()
        uvloop.run(pods(sys.argv[2], int(sys.argv[3])))
    else:
        main()

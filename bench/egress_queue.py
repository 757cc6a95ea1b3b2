"""What full fleets cost: refusals, waiting for a pod, and how two rooms share what comes.

`python -m bench.egress_queue [CALLS]`. Two desks, stand-in pods and the client are one process on a
real Redis, so that the moment at which a pod is told to be Ready is known to the millisecond.
Beside each figure stands what there is without a queue, or without a desk.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import redis.asyncio as redis
import uvloop
from bench.egress_latency import load
from livekit.protocol import egress as livekit
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.api.names import PodState
from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.egress.queue import QueueRule
from mediafleet_scheduler.core.egress.views import EgressView, Fleet, Worker
from mediafleet_scheduler.core.psrpc.selection import UPSTREAM_START_EGRESS
from mediafleet_scheduler.directory.publisher import Publisher
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.process.branch import EgressService
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.envelope import Response
from mediafleet_scheduler.psrpc.errors import PsrpcError
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.load.bursts import quantile
from mediafleet_testbed.real_servers import redis_server
from mediafleet_testbed.standins.egress_rules import Admission
from mediafleet_testbed.standins.egress_worker import Conduct, Io
from mediafleet_testbed.standins.egress_worker import Worker as Standin

CALLS: Final = 300
ROUNDS: Final = 40
WITHOUT_DESK: Final = 3
"""A client without a bid waits a second."""
WITHOUT_QUEUE: Final = 5
PLACES: Final = 30
CPUS: Final = 4.0
"""One web page a pod."""

_ids: Final = itertools.count(1)


class Told(Publisher[EgressView]):
    """A directory that is told what there is."""

    async def run(self) -> None:
        """Nothing to follow."""


@dataclass(slots=True)
class Stage:
    """A fleet of pods that take one page each, and a client."""

    url: str
    client: Client
    directory: Told = field(default_factory=Told)
    names: list[str] = field(default_factory=list)

    async def page(self, room: str = "", egress_id: str | None = None) -> Response:
        """Call as livekit-server does, once."""
        web = livekit.WebEgressRequest(url="https://example.com").SerializeToString()
        egress_id = egress_id or f"EG_{next(_ids):012}"
        request = StartEgressRequest(egress_id=egress_id, web=web, room_name=room)
        return await self.client.request(
            "StartEgress",
            request.SerializeToString(),
            timeout_seconds=10,
            selection=UPSTREAM_START_EGRESS,
        )

    def ready(self, count: int, wait_seconds: float) -> None:
        """So many pods are Ready."""
        workers = tuple(
            Worker(name, name, name, None, CPUS, None, state)
            for name, state in zip(
                self.names,
                itertools.chain([PodState.READY] * count, itertools.repeat(PodState.PENDING)),
                strict=False,
            )
        )
        queue = QueueRule(wait_seconds)
        fleet = Fleet("", "bench", Placement(), frozenset(RequestType), None, workers, queue=queue)
        self.directory.publish(EgressView((fleet,)))


@asynccontextmanager
async def stage(url: str, pods: int, desks: int = 2) -> AsyncIterator[Stage]:
    """Pods, desks and a client on an empty Redis; without desks the pods are stock ones."""
    async with AsyncExitStack() as stack:
        connection = redis.Redis.from_url(url, protocol=2)
        stack.push_async_callback(connection.aclose)
        await connection.flushall()

        async def bus() -> RedisBus:
            return await stack.enter_async_context(RedisBus(connection))

        client = await stack.enter_async_context(Client(await bus(), "EgressInternal"))
        made = Stage(url, client, names=[f"pod-{number:03}" for number in range(pods)])
        conduct = Conduct(start_seconds=0.0, upstream=desks == 0, io=Io.PUBLISH)
        shared = await bus()
        for name in made.names:
            await stack.enter_async_context(Standin(shared, name, Admission(CPUS), conduct))
        made.ready(pods, 0.0)
        text = redis.Redis.from_url(url, protocol=2, decode_responses=True)
        stack.push_async_callback(text.aclose)
        for _ in range(desks):
            metrics = EgressMetrics(CollectorRegistry())
            service = EgressService(await bus(), text, made.directory, metrics)
            await stack.enter_async_context(service)
        yield made


async def refusals(url: str, calls: int, desks: int) -> list[float]:
    """Seconds until a full fleet has said no."""
    seconds: list[float] = []
    async with stage(url, 10, desks) as made:
        for _ in made.names:
            await made.page()
        for _ in range(calls):
            began = time.perf_counter()
            with contextlib.suppress(PsrpcError):
                assert (await made.page()).error is not None
            seconds.append(time.perf_counter() - began)
    return seconds


async def waits(url: str, rounds: int, wait_seconds: float) -> list[float]:
    """Seconds from Ready to the answer, for a page that is waiting or asks again by itself."""
    seconds: list[float] = []
    chance = random.Random(1)
    async with stage(url, rounds + 1) as made:
        made.ready(1, wait_seconds)
        await made.page()
        for number in range(rounds):
            egress_id = f"EG_{next(_ids):012}"
            call = asyncio.create_task(asks(made, egress_id, chance))
            await asyncio.sleep(chance.uniform(0.2, 1.0))
            began = time.perf_counter()
            made.ready(number + 2, wait_seconds)
            await call
            seconds.append(time.perf_counter() - began)
    return seconds


async def asks(made: Stage, egress_id: str, chance: random.Random) -> None:
    """Ask as often as livekit-server's client does."""
    for pause in (1.0, 2.0, 2.0):
        if (await made.page(egress_id=egress_id)).error is None:
            return
        await asyncio.sleep(pause * chance.uniform(1, 2))


async def shares(url: str) -> Counter[str]:
    """Places that each of two rooms was given; the first has twice as many waiting, and longer."""
    got: Counter[str] = Counter()

    async def one(room: str) -> None:
        if (await made.page(room)).error is None:
            got[room] += 1

    async with stage(url, PLACES + 1) as made:
        made.ready(1, 7.0)
        await made.page()
        calls = [asyncio.create_task(one("first")) for _ in range(2 * PLACES)]
        await asyncio.sleep(0.5)
        calls += [asyncio.create_task(one("second")) for _ in range(PLACES)]
        await asyncio.sleep(0.5)
        for count in range(2, PLACES + 2):
            made.ready(count, 7.0)
            await asyncio.sleep(0.1)
        await asyncio.gather(*calls)
    return got


def rows(title: str, figures: Mapping[str, Sequence[float]], goal: str) -> Table:
    """Figures beside each other."""
    table = Table(title=title, caption=f"{goal} {load()}")
    for name in ("", "calls", "p50 ms", "p99 ms", "max ms"):
        table.add_column(name, justify="right" if name else "left")
    for name, seconds in figures.items():
        parts = [1000 * (quantile(seconds, share) or 0.0) for share in (0.5, 0.99, 1.0)]
        table.add_row(name, str(len(seconds)), *(f"{each:.1f}" for each in parts))
    return table


async def run(calls: int) -> list[Table | str]:
    """All figures."""
    with redis_server() as server:
        full = {
            "stock pods": await refusals(server.url, WITHOUT_DESK, 0),
            "mediafleet": await refusals(server.url, calls, 2),
        }
        ready = {
            "no queue, asked again": await waits(server.url, WITHOUT_QUEUE, 0.0),
            "queue": await waits(server.url, ROUNDS, 5.0),
        }
        got = await shares(server.url)
    shared = (
        f"Two rooms, one with twice as many waiting, and longer: {got['first']} and "
        f"{got['second']} of {PLACES} places (goal: within 10 %; first come, first served: "
        f"{PLACES} and 0)."
    )
    return [
        rows("A full fleet says no", full, "Goal: 50 ms."),
        rows("From Ready to the answer of the pod", ready, "Goal: 200 ms."),
        shared,
    ]


def main() -> None:
    """Measure and print."""
    logging.disable(logging.WARNING)
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else CALLS
    with contextlib.redirect_stdout(None):
        figures = uvloop.run(run(calls))
    console = Console(width=100)
    for each in figures:
        console.print(each)


if __name__ == "__main__":
    main()

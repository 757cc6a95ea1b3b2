"""Desks and stand-in pods on a Redis that one thing goes wrong with, and what must hold there.

Desks reach Redis through the proxy. The client and the pods reach it beside it: they are not what
is tried here, but a failover is theirs too.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Final

from prometheus_client import CollectorRegistry
from redis.exceptions import RedisError
from tests.kit.egress.scene import (
    CLOCK,
    IMPATIENT,
    Scene,
    eventually,
    fleet,
    scene,
    track,
    with_state,
)
from tests.kit.faults.redises.pair import Redises
from tests.kit.faults.redises.plans import RedisCourse, RedisPlan

from mediafleet_common.api.names import PodState
from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import LedgerTimes, RedisTimes
from mediafleet_scheduler.egress.connections.opening import of_url
from mediafleet_scheduler.egress.ledger.script_calls import StoreError
from mediafleet_scheduler.egress.process.branch import EgressService
from mediafleet_scheduler.psrpc.errors import BusClosedError
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_scheduler.psrpc.times import BusTimes

CONVERGE_SECONDS: Final = 90.0
QUIET_SECONDS: Final = 1.0
"""Twice the time between two looks at the ledger."""
QUIET_WITHIN: Final = 8
"""Such spells; one at least is without a change."""
QUARTER: Final = 0.25
"""All times of the client, the desks and their connections, divided by four."""
PODS: Final = ("pod-0", "pod-1")
_LEDGER: Final = "mediafleet:{egress/0}:"
_SETTINGS: Final = replace(
    IMPATIENT,
    bid_wait_seconds=0.25,
    patient_bid_wait_seconds=0.5,
    list_wait_seconds=0.25,
    sync_every_seconds=0.5,
    heard_look_seconds=0.1,
    forward_seconds=2.0,
    least_forward_seconds=0.1,
    grant_margin_seconds=0.5,
    leave_alone_seconds=0.5,
    answer_margin_seconds=0.1,
    close_seconds=0.0,
    ledger=LedgerTimes(answer_seconds=1.25, max_write_pause_seconds=1.25),
)
_BUS: Final = BusTimes(
    connect_seconds=1.25,
    max_pause_seconds=0.25,
    subscribe_seconds=7.5,
    ping_after_seconds=1.25,
    silence_seconds=4.0,
    answer_seconds=1.25,
    keep_seconds=0.5,
)
_REDIS: Final = RedisTimes(connect_seconds=0.5, answer_seconds=1.25)
_AGAIN_SECONDS: Final = 0.25
_AWAY: Final = (StoreError, BusClosedError, RedisError, OSError, TimeoutError)
"""What a desk that starts meets where Redis is away; its process tries again."""


class RedisWorld:
    """One Redis, one plan."""

    def __init__(self, plan: RedisPlan | None, stage: Scene) -> None:
        self.plan = plan
        self.stage = stage
        self._asked: set[str] = set()

    # What a story does

    async def place(self, count: int) -> None:
        """So many jobs at once; each is answered once, with a start."""
        await asyncio.gather(*(self.call(track()) for _ in range(count)))

    async def call(self, request: StartEgressRequest) -> None:
        """One job, as livekit-server asks for it."""
        self._asked.add(request.egress_id)
        failure = await self.stage.call(request, QUARTER)
        assert failure is None, f"{request.egress_id}: {failure}"

    def drain(self, pod: str) -> None:
        """A pod takes nothing any more, and its jobs go on."""
        made = with_state(fleet(*PODS), PodState.DRAINING, pod)
        self.stage.directory.publish(EgressView((made,)))

    # What must hold

    async def holds(self) -> None:
        """Each job runs once, the ledger says the same, and then nothing changes any more."""
        started = self.stage.started
        assert len(started) == len(set(started)), f"an id was started twice: {started}"
        assert set(started) == self._asked
        await eventually(self._complete, CONVERGE_SECONDS)
        await self._quiet()
        assert self.stage.started == started, "something was started though nobody asked"

    async def _complete(self) -> bool:
        """Whether the ledger has what runs as started, and no place beside it."""
        kept = await self.stage.commands.hgetall(f"{_LEDGER}jobs")
        runs = {job for worker in self.stage.standins.values() for job in worker.jobs}
        return set(kept) == runs and all("started_at" in json.loads(v) for v in kept.values())

    async def _quiet(self) -> None:
        changes: list[str] = []
        for _ in range(QUIET_WITHIN):
            changes.append(str(await self.stage.commands.hget(f"{_LEDGER}state", "seq")))
            await asyncio.sleep(QUIET_SECONDS)
            if str(await self.stage.commands.hget(f"{_LEDGER}state", "seq")) == changes[-1]:
                return
        raise AssertionError(f"the ledger is changed though all is done: {changes}")


async def _desk(stack: AsyncExitStack, stage: Scene, url: str) -> None:
    """A desk; one that finds no Redis tries again, as its process does."""
    connections = of_url(url, times=_REDIS)
    stack.push_async_callback(connections.close)
    deadline = time.monotonic() + CONVERGE_SECONDS
    while True:
        try:
            async with AsyncExitStack() as opened:
                bus = await opened.enter_async_context(
                    RedisBus(connections.pubsub, clock=CLOCK, times=_BUS)
                )
                metrics = EgressMetrics(CollectorRegistry())
                service = EgressService(
                    bus, connections.commands, stage.directory, metrics, _SETTINGS, clock=CLOCK
                )
                await opened.enter_async_context(service)
                await stack.enter_async_context(opened.pop_all())
                return
        except _AWAY:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_AGAIN_SECONDS)


@asynccontextmanager
async def world(plan: RedisPlan | None, desks: int) -> AsyncIterator[tuple[RedisWorld, Redises]]:
    """Pods and so many desks, until left."""
    redises = Redises(plan)
    async with redises.running(), AsyncExitStack() as stack:
        beside = of_url(redises.beside.url)
        stack.push_async_callback(beside.close)
        bus = await stack.enter_async_context(RedisBus(beside.pubsub, clock=CLOCK))
        # The client of the ledger as the test reads it decodes texts, as a desk's does.
        stage = await stack.enter_async_context(scene(bus, beside.pubsub))
        for name in PODS:
            await stage.standin(name, start_seconds=0.02)
        stage.directory.publish(EgressView((fleet(*PODS),)))
        for _ in range(desks):
            await _desk(stack, stage, redises.through.url)
        yield RedisWorld(plan, stage), redises


# Stories: each ends with what must be there, whatever went wrong on the way.


async def one_job(world: RedisWorld) -> None:
    await world.place(1)


async def a_burst(world: RedisWorld) -> None:
    await world.place(4)
    await world.place(2)


async def asked_twice(world: RedisWorld) -> None:
    request = track()
    await asyncio.gather(world.call(request), world.call(request))
    await world.call(request)


async def a_pod_drains(world: RedisWorld) -> None:
    await world.place(2)
    world.drain(PODS[0])
    before = set(world.stage.standins[PODS[0]].started)
    await world.place(2)
    assert set(world.stage.standins[PODS[0]].started) == before


Story = Callable[[RedisWorld], Awaitable[None]]
STORIES: Final[Mapping[str, tuple[Story, int]]] = {
    f"{story.__name__}, {desks} desk{'s' if desks > 1 else ''}": (story, desks)
    for story, desks in (
        (one_job, 1),
        (a_burst, 1),
        (a_burst, 2),
        (asked_twice, 2),
        (a_pod_drains, 2),
    )
}


async def lived(name: str, plan: RedisPlan | None) -> tuple[RedisCourse, bool]:
    """A story from its start to its end: what it took, and whether the fault came.

    Raises:
        AssertionError, TimeoutError: what must hold did not.
    """
    story, desks = STORIES[name]
    async with world(plan, desks) as (made, redises):
        await story(made)
        await made.holds()
        return redises.traffic.course, redises.traffic.struck

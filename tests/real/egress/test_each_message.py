"""One placement, and each of its messages in turn is lost, doubled, late or overtaken."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import pytest
import redis.asyncio as redis
from prometheus_client import CollectorRegistry
from tests.kit.egress.meddling import MESSAGES, Fate, Meddling
from tests.kit.egress.scene import IMPATIENT, Scene, eventually, fleet, scene, track

from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.process.branch import EgressService
from mediafleet_scheduler.psrpc.bus import Bus
from mediafleet_testbed.buses import MemoryBus

PODS: Final = ("pod-0", "pod-1")
DESKS: Final = 2
AT_A_TIME: Final = 12
PAIRS: Final = int(os.environ.get("MEDIAFLEET_PAIRS", "40"))
pytestmark = pytest.mark.timeout(300 + PAIRS)
SEED: Final = int(os.environ.get("MEDIAFLEET_SEED") or 0)
QUARTER: Final = 0.25
"""All times of the client and of the desks, divided by four."""
SHORT: Final = replace(
    IMPATIENT,
    bid_wait_seconds=0.25,
    patient_bid_wait_seconds=0.5,
    list_wait_seconds=0.25,
    forward_seconds=2.0,
    least_forward_seconds=0.1,
    grant_margin_seconds=0.5,
    leave_alone_seconds=0.5,
    answer_margin_seconds=0.1,
    close_seconds=0.0,
)
LATE_SECONDS: Final = (0.4, 3.0)
"""These stand for 1.6 s and 12 s."""

_ledgers = itertools.count(100)


async def place(commands: redis.Redis, fates: Mapping[int, Fate]) -> int:
    """One placement under these fates; how many messages it took.

    Raises:
        AssertionError: it was not started, or not once.
    """
    bus, ledger = Meddling(MemoryBus(), fates, LATE_SECONDS), next(_ledgers)
    async with scene(bus, commands) as stage:
        for name in PODS:
            await stage.standin(name, start_seconds=0.02)
        stage.directory.publish(EgressView((fleet(*PODS),)))
        for _ in range(DESKS):
            await stage.stack.enter_async_context(desk(stage, bus, ledger))
        bus.meddles = True
        request = track()
        failure = await stage.call(request, QUARTER)
        assert failure is None, f"{fates}: {failure}"
        assert stage.started == [request.egress_id], f"{fates}: {stage.started}"

        async def noted() -> bool:
            kept = await commands.hkeys(f"mediafleet:{{egress/{ledger}}}:jobs")
            return kept == [request.egress_id]

        await eventually(noted)
        # Whoever asks again joins it, also once all that was late has come.
        await asyncio.sleep(max(LATE_SECONDS) if Fate.VERY_LATE in fates.values() else 0)
        assert await stage.call(request, QUARTER) is None, f"{fates}"
        assert stage.started == [request.egress_id], f"{fates}: {stage.started}"
    return bus.published


def desk(stage: Scene, bus: Bus, ledger: int) -> EgressService:
    """A desk with a ledger of its own number."""
    metrics = EgressMetrics(CollectorRegistry())
    return EgressService(bus, stage.commands, stage.directory, metrics, SHORT, ledger)


async def place_all(commands: redis.Redis, cases: Sequence[Mapping[int, Fate]]) -> None:
    """All of them, so many beside each other."""
    slots = asyncio.Semaphore(AT_A_TIME)

    async def one(fates: Mapping[int, Fate]) -> None:
        async with slots:
            await place(commands, fates)

    async with asyncio.TaskGroup() as tasks:
        for fates in cases:
            tasks.create_task(one(fates))


async def test_a_placement_is_so_many_messages(commands: redis.Redis) -> None:
    """What the other tests number: one more, and they would leave it out."""
    bus = Meddling(MemoryBus(), {}, LATE_SECONDS)
    async with scene(bus, commands) as stage:
        for name in PODS:
            await stage.standin(name)
        stage.directory.publish(EgressView((fleet(*PODS),)))
        for _ in range(DESKS):
            await stage.stack.enter_async_context(desk(stage, bus, next(_ledgers)))
        bus.meddles = True
        assert (await stage.start(track())).error is None
        await eventually(lambda: bus.published >= MESSAGES)
        assert bus.published == MESSAGES


@pytest.mark.parametrize("fate", Fate)
async def test_whatever_becomes_of_one_message_the_job_is_started_once(
    commands: redis.Redis, fate: Fate
) -> None:
    await place_all(commands, [{number: fate} for number in range(MESSAGES)])


async def test_whatever_becomes_of_two_messages_the_job_is_started_once(
    commands: redis.Redis,
) -> None:
    pairs = list(itertools.combinations(range(2 * MESSAGES), 2))
    cases = [
        {one: first, two: second}
        for one, two in pairs
        for first, second in itertools.product(Fate, repeat=2)
    ]
    await place_all(commands, random.Random(SEED).sample(cases, min(PAIRS, len(cases))))

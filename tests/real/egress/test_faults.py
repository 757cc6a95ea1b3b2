"""Exactly once, on a bus that loses, doubles and delays, with desks that come and go."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from dataclasses import replace

import pytest
import redis.asyncio as redis
from tests.kit.egress.scene import IMPATIENT, Scene, fleet, scene, track

from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.psrpc.errors import PsrpcError
from mediafleet_testbed.buses import Faults, FaultyBus, MemoryBus

NAMES = tuple(f"pod-{n}" for n in range(5))
REQUESTS = int(os.environ.get("MEDIAFLEET_REQUESTS", "100"))
pytestmark = pytest.mark.timeout(300 + REQUESTS)
CPUS = max(24.0, 0.24 * REQUESTS)
FAULTS = Faults(lose=0.05, duplicate=0.05, delay=0.3, max_delay_seconds=0.05)
LATE = Faults(delay=0.03, max_delay_seconds=1.2)
"""For the client, whose times are divided by ten, as if it were 12 s."""
TENTH = 0.1
"""All times of the client, divided by ten."""
SHORT = replace(
    IMPATIENT,
    forward_seconds=0.6,
    least_forward_seconds=0.05,
    leave_alone_seconds=0.2,
    grant_margin_seconds=0.1,
    list_wait_seconds=0.1,
    answer_margin_seconds=0.05,
    close_seconds=0.0,
)


async def later(
    stage: Scene, number: int, request: StartEgressRequest | None = None
) -> PsrpcError | None:
    """One of many requests that come one after the other."""
    await asyncio.sleep(number * 0.02)
    return await stage.call(request or track(), TENTH)


@pytest.mark.parametrize("seed", range(3))
async def test_no_request_is_started_twice_on_a_bad_bus(commands: redis.Redis, seed: int) -> None:
    bus = FaultyBus(FaultyBus(MemoryBus(), FAULTS, seed), LATE, seed)
    async with scene(bus, commands) as stage:
        for name in NAMES:
            await stage.standin(name, start_seconds=0.02, cpus=CPUS)
        stage.directory.publish(EgressView((fleet(*NAMES, cpus=CPUS),)))
        async with stage.desk(SHORT), stage.desk(SHORT):
            failures = await asyncio.gather(*(later(stage, n) for n in range(REQUESTS)))
        started = stage.started
    assert len(started) == len(set(started)), "an id was started twice"
    assert len(started) >= failures.count(None)
    # A client that is never heard, or never hears, in all of its three attempts is rare.
    assert len(started) >= 0.99 * REQUESTS - 3


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_desks_that_die_left_behind_one_that_lives_sets_right(
    commands: redis.Redis, seed: int
) -> None:
    chance = random.Random(seed)
    bus = FaultyBus(MemoryBus(), FAULTS, seed)
    requests = [track() for _ in range(REQUESTS)]
    over = asyncio.Event()

    async def desks() -> None:
        while not over.is_set():
            async with stage.desk(SHORT):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(chance.uniform(0.05, 0.5)):
                        await over.wait()

    async with scene(bus, commands) as stage:
        for name in NAMES:
            await stage.standin(name, start_seconds=0.02, cpus=CPUS)
        stage.directory.publish(EgressView((fleet(*NAMES, cpus=CPUS),)))
        running = asyncio.create_task(desks())
        await asyncio.gather(*(later(stage, number, each) for number, each in enumerate(requests)))
        over.set()
        await running
        assert len(stage.started) == len(set(stage.started)), "an id was started twice"
        bus.faults = Faults()
        async with stage.desk(SHORT) as desk:
            again = (later(stage, number, each) for number, each in enumerate(requests))
            failures = await asyncio.gather(*again)
            assert failures == [None] * REQUESTS
            await desk.settled()
            assert len(desk.ledger.jobs) == REQUESTS
        assert sorted(stage.started) == sorted(request.egress_id for request in requests)

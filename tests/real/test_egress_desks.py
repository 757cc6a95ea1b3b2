"""Two desks as processes on one Redis: both at work, one killed, one paused."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio as redis
from tests.real.desks import Desks, Grants, desks
from tests.real.scene import ATTEMPTS, Scene, scene, track

from mediafleet_scheduler.psrpc.errors import PsrpcError
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.real import RedisServer

NAMES = tuple(f"pod-{n}" for n in range(10))
CPUS = 48.0
KILLS = int(os.environ.get("MEDIAFLEET_KILLS", "10"))
SEED = int(os.environ.get("MEDIAFLEET_SEED") or 0)
pytestmark = pytest.mark.timeout(300 + 20 * KILLS)
PAUSE_SECONDS = 28.0
"""Longer than a request to a pod lives: whatever the paused desk held is taken over meanwhile."""


@pytest.fixture
async def stage(commands: redis.Redis) -> AsyncIterator[Scene]:
    async with RedisBus(commands) as bus, scene(bus, commands) as made:
        yield made


@pytest.fixture
async def both(stage: Scene, redis_process: RedisServer, tmp_path: Path) -> AsyncIterator[Desks]:
    async with desks(stage, redis_process.url, tmp_path, NAMES, CPUS) as made:
        yield made


@asynccontextmanager
async def load(stage: Scene, pause_seconds: float) -> AsyncIterator[dict[str, PsrpcError | None]]:
    """Requests, one after each pause, until left; then the outcome of each, by egress id."""
    outcomes: dict[str, PsrpcError | None] = {}
    over = asyncio.Event()

    async def call() -> None:
        request = track()
        outcomes[request.egress_id] = await stage.call(request)

    async def come() -> None:
        async with asyncio.TaskGroup() as calls:
            while not over.is_set():
                calls.create_task(call())
                await asyncio.sleep(pause_seconds)

    coming = asyncio.create_task(come())
    try:
        yield outcomes
    finally:
        over.set()
        await coming


async def test_equal_jobs_in_a_burst_over_two_desks_differ_by_one_at_most(
    stage: Scene, both: Desks
) -> None:
    for name in NAMES:
        await stage.standin(name, CPUS)
    pair = [await both.start(name) for name in ("one", "two")]
    grants = Grants()
    await grants.listen(stage.bus)
    for burst in range(3):
        answers = await stage.burst(*(track() for _ in range(57)))
        assert [answer.error for answer in answers] == [None] * 57
        jobs = stage.jobs.values()
        assert max(jobs) - min(jobs) <= 1, f"after burst {burst}"
    assert len(stage.started) == len(set(stage.started)) == 3 * 57
    placed = [await desk.counted("mediafleet_placements_total") for desk in pair]
    assert sum(placed) == 3 * 57
    assert {server for servers in grants.by_egress.values() for server in servers} <= both.known


async def test_a_desk_that_was_paused_starts_nothing_stale(stage: Scene, both: Desks) -> None:
    for name in NAMES:
        await stage.standin(name, CPUS, start_seconds=0.2)
    one, two = [await both.start(name) for name in ("one", "two")]
    async with load(stage, 0.1) as outcomes:
        for desk, seconds in ((one, PAUSE_SECONDS), (two, 1.0), (one, 3.0)):
            await asyncio.sleep(1.0)
            desk.pause()
            await asyncio.sleep(seconds)
            desk.resume()
    assert {str(failure) for failure in outcomes.values()} == {"None"}
    assert len(stage.started) == len(set(stage.started)), "an id was started twice"
    assert set(stage.started) == outcomes.keys()


async def test_a_killed_desk_costs_only_what_it_was_granted_and_nothing_twice(
    stage: Scene, both: Desks
) -> None:
    chance = random.Random(SEED)
    for name in NAMES:
        await stage.standin(name, CPUS, start_seconds=0.2, job_seconds=1.0)
    pair = [await both.start(name) for name in ("one-0", "two-0")]
    grants = Grants()
    await grants.listen(stage.bus)
    dead: set[str] = set()
    async with load(stage, 0.05) as outcomes:
        for kill in range(KILLS):
            await asyncio.sleep(chance.uniform(0.1, 0.6))
            victim = pair.pop(0)
            dead.add(victim.server_id)
            await victim.kill()
            pair.append(await both.start(f"{victim.name.partition('-')[0]}-{kill + 1}"))
    assert len(stage.started) == len(set(stage.started)), "an id was started twice"
    # With a kill every other second, a client may choose a desk that dies three times in a row.
    unlucky = {egress_id for egress_id, failure in outcomes.items() if failure is not None}
    print(f"{len(outcomes)} requests, {len(unlucky)} of them chose three desks that died")
    for egress_id in unlucky:
        servers = grants.by_egress[egress_id]
        assert len(servers) == len(ATTEMPTS), outcomes[egress_id]
        assert set(servers) <= dead, outcomes[egress_id]
    assert set(stage.started) >= outcomes.keys() - unlucky
    assert len(unlucky) <= 0.01 * len(outcomes)
    again = {egress_id for egress_id, servers in grants.by_egress.items() if len(servers) > 1}
    for egress_id in again:
        assert grants.by_egress[egress_id][0] in dead, "a desk that lived delayed a request"

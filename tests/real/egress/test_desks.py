"""Two desks as processes on one Redis: both at work, one killed, one paused."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis.asyncio as redis
from tests.kit.egress.desks import Desks, Grants, desks
from tests.kit.egress.records import livekit_io
from tests.kit.egress.scene import Scene, scene, track

from mediafleet_scheduler.psrpc.errors import PsrpcError
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.real_servers import RedisServer
from mediafleet_testbed.standins.egress_worker import Io

NAMES = tuple(f"pod-{n}" for n in range(10))
CPUS = 48.0
KILLS = int(os.environ.get("MEDIAFLEET_KILLS", "10"))
SEED = int(os.environ.get("MEDIAFLEET_SEED") or 0)
pytestmark = pytest.mark.timeout(300 + 20 * KILLS)
NEAR_SECONDS = 0.5
"""So soon after a kill a request might still be granted to the dead desk, or wait for it."""
HEARD_SECONDS = 1.0
"""A busy machine may hear of a grant so much later than it was made."""
AT_ONCE_SECONDS = 5.0
"""Starts take 0.2 s here, and whoever waits for a dead desk waits for 10: far from both."""
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request; loop times."""

    failure: PsrpcError | None
    asked_at: float
    answered_at: float

    @property
    def seconds(self) -> float:
        """Until the answer, with all attempts and the pauses between them."""
        return self.answered_at - self.asked_at


@asynccontextmanager
async def load(stage: Scene, pause_seconds: float) -> AsyncIterator[dict[str, Outcome]]:
    """Requests, one after each pause, until left; then the outcome of each, by egress id."""
    outcomes: dict[str, Outcome] = {}
    over = asyncio.Event()
    now = asyncio.get_running_loop().time

    async def call() -> None:
        request, asked_at = track(), now()
        failure = await stage.call(request)
        outcomes[request.egress_id] = Outcome(failure, asked_at, now())

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
    assert {str(outcome.failure) for outcome in outcomes.values()} == {"None"}
    assert len(stage.started) == len(set(stage.started)), "an id was started twice"
    assert set(stage.started) == outcomes.keys()


async def test_a_killed_desk_costs_only_what_it_was_granted_and_nothing_twice(
    stage: Scene, both: Desks
) -> None:
    chance = random.Random(SEED)
    async with livekit_io(stage.bus):
        for name in NAMES:
            await stage.standin(name, CPUS, start_seconds=0.2, job_seconds=1.0, io=Io.SERVER)
        pair = [await both.start(name) for name in ("one-0", "two-0")]
        grants = Grants()
        await grants.listen(stage.bus)
        died: dict[str, float] = {}
        async with load(stage, 0.05) as outcomes:
            for kill in range(KILLS):
                await asyncio.sleep(chance.uniform(0.1, 0.6))
                victim = pair.pop(0)
                await victim.kill()
                died[victim.server_id] = asyncio.get_running_loop().time()
                pair.append(await both.start(f"{victim.name.partition('-')[0]}-{kill + 1}"))
    assert len(stage.started) == len(set(stage.started)), "an id was started twice"
    assert {str(outcome.failure) for outcome in outcomes.values()} == {"None"}
    assert set(stage.started) == outcomes.keys()
    at_a_kill, others = parted(outcomes, grants, died)
    print(f"{len(outcomes)} requests, {KILLS} kills; {told(others)} elsewhere")
    print(f"{told(at_a_kill)} that were asked as a desk died, at the other one")
    assert max(outcome.seconds for outcome in at_a_kill + others) < AT_ONCE_SECONDS


def parted(
    outcomes: Mapping[str, Outcome], grants: Grants, died: Mapping[str, float]
) -> tuple[list[Outcome], list[Outcome]]:
    """The requests that met no dead desk: those that one's death might have delayed, and others.

    Of those that did, each grant but the last went to a desk that then died.
    """
    near: list[Outcome] = []
    far: list[Outcome] = []
    for egress_id, outcome in outcomes.items():
        *first, last = grants.by_egress[egress_id]
        for server, at in zip(first, grants.at[egress_id], strict=False):
            assert died.get(server, 0.0) >= at - HEARD_SECONDS, "a desk that lived kept silent"
        if not first:
            asked = outcome.asked_at
            just = any(0 <= asked - at < NEAR_SECONDS for name, at in died.items() if name != last)
            (near if just else far).append(outcome)
    return near, far


def told(outcomes: Sequence[Outcome]) -> str:
    """Their times, for people."""
    seconds = sorted(outcome.seconds for outcome in outcomes)
    if not seconds:
        return "0 requests"
    p50, p99 = (seconds[int(share * (len(seconds) - 1))] for share in (0.5, 0.99))
    return f"{len(seconds)} requests, p50 {p50:.2f} s, p99 {p99:.2f} s, at most {seconds[-1]:.2f} s"

"""Exactly once on a virtual clock: a bus that loses, doubles and delays, desks that are killed.

What is counted, of all requests that clients make with their three attempts each:

- *started twice*: an id that pods started more than once. None, ever.
- *unanswered*: a request that a desk was granted, that lived until the request's expiry, and said
  nothing to it. None, ever: each ends with an answer, which may get lost on its way.
- *delivered*: an id of which any attempt came so far that a desk was granted it. Of these at least
  99 % are started, short of what chance makes of a small sample (three standard deviations); the
  others were refused, or each desk that had them was killed.

`MEDIAFLEET_VIRTUAL` is the number of requests, `MEDIAFLEET_SEED` the seed.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
from dataclasses import dataclass
from typing import Any, Final, cast

import pytest
from tests.kit.egress.scene import Scene, fleet, scene, track
from tests.kit.egress.virtual import (
    Desks,
    PodBus,
    Records,
    desks,
    livekit_server,
    memory_redis,
    on_loop_time,
)

from mediafleet_scheduler.core.egress import start
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.attempt import Free, Phase
from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.jobs.start import StartAttempt
from mediafleet_scheduler.psrpc.errors import PsrpcError
from mediafleet_testbed.buses import Faults, FaultyBus, MemoryBus

REQUESTS: Final = int(os.environ.get("MEDIAFLEET_VIRTUAL") or 3000)
SEED: Final = int(os.environ.get("MEDIAFLEET_SEED") or 0)
PODS: Final = tuple(f"pod-{number}" for number in range(20))
CPUS: Final = 200.0
JOB_SECONDS: Final = 30.0
A_SECOND: Final = 50.0
"""So many requests come."""
DESK_LIVES_SECONDS: Final = (5.0, 30.0)
QUIET_SECONDS: Final = 400.0
"""Until the last job is over and the last claim of a killed desk is given up."""
FAULTS: Final = Faults(lose=0.05, duplicate=0.05, delay=0.3, max_delay_seconds=0.05)
LATE: Final = Faults(delay=0.05, max_delay_seconds=12.0)
pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(180 + REQUESTS / 10)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of all requests."""

    started: list[str]
    delivered: set[str]
    unanswered: int
    told_started: set[str]
    left_in_ledger: int
    kills: int

    @property
    def doubles(self) -> int:
        """How many starts were not the id's first."""
        return len(self.started) - len(set(self.started))


async def run(monkeypatch: pytest.MonkeyPatch, requests: int, seed: int) -> Outcome:
    """So many requests under the seed's faults, desks killed in between."""
    on_loop_time(monkeypatch)
    records = Records()
    bus = FaultyBus(FaultyBus(MemoryBus(), FAULTS, seed), LATE, seed + 1)
    async with scene(bus, memory_redis()) as stage, livekit_server(bus, records):
        for name in PODS:
            pod = PodBus(bus, records)
            conduct = {"start_seconds": 0.3, "job_seconds": JOB_SECONDS}
            await stage.standin(name, CPUS, pod, **conduct)
        stage.directory.publish(EgressView((fleet(*PODS, cpus=CPUS),)))
        async with desks(stage, Settings()) as both:
            killing = asyncio.create_task(kill_now_and_then(both, random.Random(seed)))
            told = await call_all(stage, requests)
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)
            while len(both.services) < 2:
                await both.start()
            await asyncio.sleep(QUIET_SECONDS)
            return Outcome(
                started=stage.started,
                delivered=both.delivered(),
                unanswered=len(both.unanswered()),
                told_started=told,
                left_in_ledger=max(len(desk.ledger.jobs) for desk in both.services),
                kills=sum(desk.died_at is not None for desk in both.ever),
            )


async def kill_now_and_then(both: Desks, chance: random.Random) -> None:
    """One of the desks is killed, and a new one comes a moment later."""
    while True:
        await asyncio.sleep(chance.uniform(*DESK_LIVES_SECONDS))
        both.kill(chance.choice([desk for desk in both.ever if desk.died_at is None]))
        await asyncio.sleep(chance.uniform(0.1, 3.0))
        await both.start()


async def call_all(stage: Scene, requests: int) -> set[str]:
    """Call as livekit-server does; the ids that a client was told to be started."""
    told: set[str] = set()

    async def call(number: int) -> None:
        request = track(f"EG_{number}")
        failure: PsrpcError | None = await stage.call(request)
        if failure is None:
            told.add(request.egress_id)

    async with asyncio.TaskGroup() as tasks:
        for number in range(requests):
            tasks.create_task(call(number))
            await asyncio.sleep(1 / A_SECOND)
    return told


async def test_every_request_is_started_once_or_refused_whatever_the_bus_and_desks_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcome = await run(monkeypatch, REQUESTS, SEED)
    started = set(outcome.started)
    share = len(started & outcome.delivered) / len(outcome.delivered)
    print(
        f"{REQUESTS} requests, {outcome.kills} kills: {outcome.doubles} started twice, "
        f"{outcome.unanswered} unanswered, {len(outcome.delivered)} delivered, "
        f"{len(started)} started ({share:.2%} of delivered), "
        f"{len(outcome.told_started)} clients told so"
    )
    assert outcome.doubles == 0
    assert outcome.unanswered == 0
    assert outcome.told_started <= started, "a client was told of a start that never was"
    assert started <= outcome.delivered
    assert share >= 0.99 - 3 * math.sqrt(0.99 * 0.01 / len(outcome.delivered))
    assert outcome.left_in_ledger == 0
    assert outcome.kills >= REQUESTS / A_SECOND / 60


async def test_a_desk_that_moves_claims_without_proof_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def take_for_absent(self: StartAttempt, job: Job) -> Free:
        store = self._tools.store
        await store.write([store.released(job.egress_id, job.token)])
        await asyncio.sleep(0.1)
        return Free()

    monkeypatch.setattr(StartAttempt, "_ask_pods", take_for_absent)
    monkeypatch.setitem(cast("dict[Any, Any]", start._TABLE), (Phase.LOOKING, Free), start._free)
    assert (await run(monkeypatch, 500, SEED)).doubles > 0

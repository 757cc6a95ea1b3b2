"""A whole desk on a virtual clock, whose pods are asked for more than they have.

Their metrics come late or not at all. What they accept is held against an oracle that sees what
every pod really runs. Nothing is admitted beyond upstream's rule, whatever a desk believes, for the
workers go by it (standins/egress_rules.py). `MEDIAFLEET_LATE_JOBS` is the number of jobs.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
from collections import deque
from dataclasses import replace
from typing import Final

import pytest
from bench.placing import by_oracle, too_many
from tests.kit.egress.scene import Scene, fleet, of_kind, scene
from tests.kit.egress.virtual import (
    Records,
    desks,
    livekit_server,
    memory_redis,
    on_loop_time,
)

from mediafleet_common.api.egress.costs import CpuCost
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.probes import http_client
from mediafleet_common.probes.http_client import Failure, NoLoad
from mediafleet_common.probes.load import Load, Source, parse
from mediafleet_scheduler.core.egress.views import EgressView, Fleet
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.psrpc.errors import Code, PsrpcError
from mediafleet_scheduler.simulate.setup import Placing, Setup
from mediafleet_scheduler.simulate.traces import TraceJob
from mediafleet_testbed.buses import MemoryBus
from mediafleet_testbed.standins.egress_metrics import exposition

JOBS: Final = int(os.environ.get("MEDIAFLEET_LATE_JOBS") or 1500)
SEED: Final = int(os.environ.get("MEDIAFLEET_SEED") or 1)
LATE_SECONDS: Final = 30
MISSING_SHARE: Final = 0.3
START_SECONDS: Final = 0.3
CHANCE: Final = 0.009
"""Standard deviation of the share over runs of 1,500 jobs, the draws of the desk being others."""
COSTS: Final = CpuCost()
pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(120 + JOBS / 4)]


class LateMetrics:
    """What workers tell of their load, as it was a while ago, or not at all."""

    def __init__(self, stage: Scene, chance: random.Random) -> None:
        self._stage = stage
        self._chance = chance
        self._told: deque[dict[str, str]] = deque(maxlen=LATE_SECONDS)

    async def run(self) -> None:
        """Take down what they tell, each second."""
        while True:
            workers = self._stage.standins.items()
            self._told.appendleft({name: exposition(worker) for name, worker in workers})
            await asyncio.sleep(1)

    async def poll(
        self, session: object, url: str, source: Source, seconds: float
    ) -> Load | NoLoad:
        """In place of an HTTP GET."""
        del session, seconds
        if self._chance.random() < MISSING_SHARE:
            return NoLoad(Failure.TIMED_OUT, "lost")
        return parse(self._chance.choice(self._told)[url.split("/")[2]], source)


async def ask_for(stage: Scene, job: TraceJob, number: int) -> PsrpcError | None:
    """One job from its request to its end; asked for once."""
    await asyncio.sleep(job.at)
    egress_id = f"EG_{number}"
    assert job.real_cores is not None
    for worker in stage.standins.values():
        worker.admission.real_share = job.real_cores / COSTS.of(job.kind)
    error = (await stage.start(of_kind(job.kind, egress_id))).error
    if error is None:
        await asyncio.sleep(job.seconds - START_SECONDS)
        for worker in stage.standins.values():
            if running := worker.jobs.get(egress_id):
                running.stopped.set()
    return error


def with_metrics(of: Fleet, placing: Placing) -> Fleet:
    """The fleet in a mode, its pods with an address for their metrics."""
    told = (replace(each, metrics_url=f"http://{each.name}/metrics") for each in of.workers)
    return replace(of, placement=Placement(mode=placing.mode), workers=tuple(told))


@pytest.mark.parametrize("placing", [each for each in Placing if each.by_desk])
async def test_nearly_all_is_accepted_that_an_oracle_would_accept(
    monkeypatch: pytest.MonkeyPatch, placing: Placing
) -> None:
    on_loop_time(monkeypatch)
    chance, bus = random.Random(SEED), MemoryBus()
    jobs, setup = too_many(chance, JOBS), Setup(pods=20, cpu=16.0, seed=SEED)
    names = [f"pod-{number}" for number in range(setup.pods)]
    async with scene(bus, memory_redis()) as stage, livekit_server(bus, Records()):
        late = LateMetrics(stage, chance)
        monkeypatch.setattr(http_client, "poll", late.poll)
        for name in names:
            await stage.standin(name, setup.cpu, start_seconds=START_SECONDS)
        of = with_metrics(fleet(*names, cpus=setup.cpu), placing)
        stage.directory.publish(EgressView((of,)))
        stage.stack.callback(asyncio.create_task(late.run()).cancel)
        await asyncio.sleep(0)  # Something has been told before the desk asks.
        async with desks(stage, Settings(), count=1):
            asked = (ask_for(stage, job, number) for number, job in enumerate(jobs))
            errors = await asyncio.gather(*asked)
        assert len(stage.started) == len(set(stage.started)) == errors.count(None)
    assert errors.count(None) < len(jobs), "they are asked for more than they have"
    # Nobody has room, or nobody bids who was thought to have some.
    refusals = {error.code for error in errors if error}
    assert refusals <= {Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE}
    accepted = sum(
        COSTS.of(job.kind) for job, error in zip(jobs, errors, strict=True) if error is None
    )
    share = accepted / by_oracle(jobs, setup, placing)
    print(
        f"{placing.value}: {errors.count(None)} of {len(jobs)} accepted, "
        f"{share:.1%} of the oracle's CPUs"
    )
    assert share >= 0.95 - 3 * CHANCE * math.sqrt(1500 / JOBS)

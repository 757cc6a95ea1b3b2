"""livekit-server loses records and stands still for a while: nobody notices more than a delay.

On a virtual clock: two desks, pods as strict as the real ones, clients with the three attempts of
livekit-server. One in five CreateEgress requests is lost, livekit-server is frozen for 17 s, and a
pod drains meanwhile: it is taken away as the operator does it, once both desks say that none of its
jobs is unconfirmed.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import pytest
from livekit.protocol import egress as livekit
from tests.kit.egress.records import Freezable, Records, answering
from tests.kit.egress.scene import Scene, fleet, scene, track, with_state
from tests.kit.egress.virtual import Desks, desks, memory_redis, on_loop_time

from mediafleet_common.api.names import PodState
from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.peers.job_info import CREATES
from mediafleet_scheduler.psrpc.errors import PsrpcError
from mediafleet_testbed.buses import MemoryBus
from mediafleet_testbed.standins.egress_worker import Io

JOBS: Final = 200
RUNS: Final = int(os.environ.get("MEDIAFLEET_FROZEN_RUNS", "1"))
PODS: Final = tuple(f"pod-{n}" for n in range(4))
CPUS: Final = 48.0
EVERY_SECONDS: Final = 0.3
"""From one request to the next."""
JOB_SECONDS: Final = 12.0
"""Longer than a record may take to be made, so that an attempt which is aborted records nothing."""
FREEZE_AFTER_SECONDS: Final = 20.0
FROZEN_SECONDS: Final = 17.0
DRAIN_AFTER_SECONDS: Final = 25.0
LOST: Final = 0.2
LOOK_SECONDS: Final = 1.0
IDLE_LOOKS: Final = 2
pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(300)]


class LosesRecords(MemoryBus):
    """A bus on which one in five CreateEgress requests gets lost."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._chance = random.Random(seed)
        self.lost = 0

    def publish(self, channel: str, data: bytes) -> None:
        if channel == CREATES and self._chance.random() < LOST:
            self.lost += 1
            return
        super().publish(channel, data)


@dataclass(slots=True)
class Show:
    """All that the test has at hand."""

    stage: Scene
    desks: Desks
    bus: LosesRecords
    server: Freezable
    records: Records
    pods: dict[str, AsyncExitStack]
    draining: set[str] = field(default_factory=set)
    false_words: list[str] = field(default_factory=list)
    """Ids of which a client was told OK while nothing ran and nothing had."""

    async def client(self, number: int, egress_id: str) -> PsrpcError | None:
        await asyncio.sleep(number * EVERY_SECONDS)
        failure = await self.stage.call(track(egress_id))
        if failure is None and egress_id not in self.stage.started:
            self.false_words.append(egress_id)
        return failure

    async def leaves(self, name: str) -> None:
        """A pod drains, and is taken away once it is idle and all of its jobs are confirmed."""
        self.draining.add(name)
        draining = with_state(fleet(*PODS, cpus=CPUS), PodState.DRAINING, *self.draining)
        self.stage.directory.publish(EgressView((draining,)))
        looks = 0
        while looks < IDLE_LOOKS:
            await asyncio.sleep(LOOK_SECONDS)
            said = [each.confirmer.unconfirmed(draining)[name] for each in self.desks.services]
            looks = looks + 1 if self.stage.standins[name].idle and said == [0, 0] else 0
        await self.pods[name].aclose()


@asynccontextmanager
async def show(monkeypatch: pytest.MonkeyPatch, seed: int) -> AsyncIterator[Show]:
    on_loop_time(monkeypatch)
    bus, records = LosesRecords(seed), Records()
    server, pods = Freezable(bus), {name: AsyncExitStack() for name in PODS}
    async with (
        scene(bus, memory_redis()) as stage,
        answering(server, records),
        desks(stage, Settings(), count=0) as both,
    ):
        stage.directory.publish(EgressView(()))
        for _ in range(2):
            await both.start()
        kept = stage.stack
        for name, life in pods.items():
            stage.stack = life
            await stage.standin(
                name, CPUS, io=Io.SERVER, start_seconds=0.3, job_seconds=JOB_SECONDS
            )
        stage.stack = kept
        stage.directory.publish(EgressView((fleet(*PODS, cpus=CPUS),)))
        yield Show(stage, both, bus, server, records, pods)


@pytest.mark.parametrize("seed", range(RUNS))
async def test_every_accepted_start_runs_once_and_ends_with_a_true_record(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    ids = [f"EG_{number}" for number in range(JOBS)]
    async with show(monkeypatch, seed) as seen:

        async def freeze() -> None:
            await asyncio.sleep(FREEZE_AFTER_SECONDS)
            await seen.server.freeze(FROZEN_SECONDS)

        async def drain() -> None:
            await asyncio.sleep(DRAIN_AFTER_SECONDS)
            await seen.leaves(PODS[0])

        first, *_ = await asyncio.gather(
            asyncio.gather(*(seen.client(*each) for each in enumerate(ids))), freeze(), drain()
        )
        await asyncio.gather(*(seen.leaves(name) for name in PODS[1:]))
        accepted = {egress_id for egress_id, failure in zip(ids, first, strict=True) if not failure}
        ran = Counter(seen.stage.started)
        print(
            f"{len(accepted)} of {JOBS} accepted, {len(seen.stage.started)} ran, "
            f"{seen.bus.lost} CreateEgress lost, "
            f"{sum(len(each.aborted) for each in seen.stage.standins.values())} attempts aborted"
        )
        assert not seen.false_words, "a client was told OK for nothing"
        assert len(accepted) >= 0.95 * JOBS
        assert set(ran.values()) == {1}, "a job ran twice"
        assert accepted <= ran.keys(), "a client was told OK for nothing"
        assert not any(each.ledger.jobs for each in seen.desks.services), "a phantom"
        statuses = {i: _status(info) for i, info in seen.records.infos.items() if i in ran}
        assert set(statuses.values()) == {livekit.EgressStatus.EGRESS_COMPLETE}


def _status(info: bytes) -> int:
    return int(livekit.EgressInfo.FromString(info).status)

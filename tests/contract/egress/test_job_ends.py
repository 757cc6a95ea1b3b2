"""Every desk hears that a job is over; one of them writes it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.kit.egress.scene import fleet, scene, track
from tests.kit.egress.virtual import desks, memory_redis, on_loop_time

from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.ledger.store import Note, Store
from mediafleet_testbed.buses import MemoryBus

JOB_SECONDS = 10.0
SETTINGS = Settings()


@pytest.mark.timeout(120)
@pytest.mark.looptime(noop_cycles=1)
@pytest.mark.parametrize("dies", [False, True], ids=["it lives", "it is killed"])
async def test_the_desk_that_placed_a_job_writes_its_end_and_another_where_it_is_gone(
    monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    on_loop_time(monkeypatch)
    ends: list[Store] = []
    write = Store.write

    async def seen(self: Store, notes: Sequence[Note]) -> None:
        ends.extend(self for note in notes if note.operation == "end")
        await write(self, notes)

    monkeypatch.setattr(Store, "write", seen)
    async with scene(MemoryBus(), memory_redis()) as stage:
        await stage.standin("pod-0", job_seconds=JOB_SECONDS)
        stage.directory.publish(EgressView((fleet("pod-0"),)))
        async with desks(stage, SETTINGS) as both:
            assert await stage.call(track("EG_1")) is None
            await asyncio.sleep(JOB_SECONDS / 2)
            (job,) = both.services[0].ledger.jobs.values()
            owner = next(each for each in both.ever if each.granted)
            if dies:
                both.kill(owner)
            await asyncio.sleep(JOB_SECONDS / 2 + 0.5)
            assert not any(each.ledger.jobs for each in both.services), "its place is free at once"
            await asyncio.sleep(SETTINGS.others_ends_seconds + 1.0)
            assert [each.is_own(job.token) for each in ends] == [not dies]
            for each in both.services:
                found = await each.find("EG_1")
                assert found is not None
                assert found.status == "ended"

"""Two desks with different files on one Redis say so."""

from __future__ import annotations

import asyncio

import pytest
from tests.kit.egress.scene import Told, fleet, scene
from tests.kit.egress.virtual import desks, memory_redis, on_loop_time

from mediafleet_scheduler.core.egress.other_desks import EVERY_SECONDS, IN_A_ROW
from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_testbed.buses import MemoryBus

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(60)]


@pytest.mark.parametrize(
    ("file", "db", "said"),
    [(("w1", "w2"), 0, None), (("w1",), 0, "--workers file"), (("w1", "w2"), 1, "in db 1")],
    ids=["the same", "another file", "another db"],
)
async def test_each_of_two_desks_says_what_is_wrong_with_the_other(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    file: tuple[str, ...],
    db: int,
    said: str | None,
) -> None:
    on_loop_time(monkeypatch)
    async with scene(MemoryBus(), memory_redis()) as stage:
        stage.directory.publish(EgressView((fleet("w1", "w2"),)))
        async with desks(stage, Settings(), count=1) as one:
            stage.directory = Told()
            stage.directory.publish(EgressView((fleet(*file),)))
            async with desks(stage, Settings(), count=1, ledger=db) as other:
                await asyncio.sleep((IN_A_ROW + 1.5) * EVERY_SECONDS)
                for desk in (*one.services, *other.services):
                    assert bool(desk.announcements.complaints) == (said is not None)
    assert (said or "belong") in caplog.text or said is None

"""A ledger that cannot be asked is told once for each reason, and once when it answers again."""

from __future__ import annotations

import asyncio
import logging

import pytest
from tests.kit.egress.scene import fleet, scene
from tests.kit.egress.virtual import desks, memory_redis, on_loop_time

from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.jobs import sweep
from mediafleet_scheduler.egress.ledger.script_calls import StoreError
from mediafleet_scheduler.egress.ledger.store import Store
from mediafleet_testbed.buses import MemoryBus

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(60)]


async def test_a_redis_that_refuses_for_a_minute_is_told_in_a_line_for_each_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    on_loop_time(monkeypatch)
    caplog.set_level(logging.INFO, sweep.__name__)
    async with scene(MemoryBus(), memory_redis()) as stage:
        stage.directory.publish(EgressView((fleet("w1"),)))
        async with desks(stage, Settings(), count=1):
            asked = 0
            for why in ("READONLY", "NOAUTH"):

                async def refuses(_: Store, why: str = why) -> None:
                    nonlocal asked
                    asked += 1
                    raise StoreError(why)

                with monkeypatch.context() as away:
                    away.setattr(Store, "sync", refuses)
                    await asyncio.sleep(60)
            await asyncio.sleep(5)
    said = [each.getMessage() for each in caplog.records if each.name == sweep.__name__]
    assert said == ["READONLY", "NOAUTH", "the ledger in Redis answers again"]
    assert asked > 60

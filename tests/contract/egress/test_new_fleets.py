"""The first moments of a fleet."""

from __future__ import annotations

import asyncio

import pytest
from tests.kit.egress.scene import fleet, scene
from tests.kit.egress.virtual import desks, memory_redis, on_loop_time

from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_testbed.buses import MemoryBus


@pytest.mark.timeout(60)
@pytest.mark.looptime(noop_cycles=1)
async def test_a_desk_takes_requests_for_a_fleet_without_pods_and_jobs_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_loop_time(monkeypatch)
    async with scene(MemoryBus(), memory_redis()) as stage:
        stage.directory.publish(EgressView((fleet(),)))
        began = asyncio.get_running_loop().time()
        async with desks(stage, Settings(), count=1):
            assert asyncio.get_running_loop().time() - began < 0.1

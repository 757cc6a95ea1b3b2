"""A job is told lost only when nothing says that it ended well."""

from __future__ import annotations

import asyncio

import pytest
from livekit.protocol import egress as livekit
from tests.kit.egress.scene import counted, fleet, scene, track
from tests.kit.egress.virtual import (
    PodBus,
    Records,
    desks,
    livekit_server,
    memory_redis,
    on_loop_time,
)

from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.psrpc.envelope import Request
from mediafleet_testbed.buses import MemoryBus

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(60)]


class Stopped(Records):
    """A livekit-server that does not answer while it is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = asyncio.Event()
        self.runs.set()

    async def answer(self, request: Request) -> bytes:
        await self.runs.wait()
        return await super().answer(request)


@pytest.mark.parametrize("ended_well", [True, False], ids=["complete", "active"])
async def test_a_pod_that_is_gone_while_livekit_server_is_stopped(
    monkeypatch: pytest.MonkeyPatch, ended_well: bool
) -> None:
    on_loop_time(monkeypatch)
    bus, records = MemoryBus(), Stopped()
    async with scene(bus, memory_redis()) as stage, livekit_server(bus, records):
        pod = await stage.standin("pod-0", bus=PodBus(bus, records))
        stage.directory.publish(EgressView((fleet("pod-0"),)))
        async with desks(stage, Settings(), count=1) as one:
            assert await stage.call(track("EG_1")) is None
            await asyncio.sleep(20.0)
            (desk,) = one.services
            records.runs.clear()
            await pod.__aexit__(None, None, None)
            info = livekit.EgressInfo.FromString(records.infos["EG_1"])
            if ended_well:
                # The desk has not heard of it: the bus tells each thing at most once.
                info.status = livekit.EgressStatus.EGRESS_COMPLETE
                records.infos["EG_1"] = info.SerializeToString()
            stage.directory.publish(EgressView((fleet(),)))
            await asyncio.sleep(25.0)
            records.runs.set()
            await asyncio.sleep(15.0)
            assert not desk.ledger.jobs
            lost = counted(desk, "mediafleet_jobs_lost_total", fleet="rec")
            assert lost == (0.0 if ended_well else 1.0)

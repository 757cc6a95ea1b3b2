"""A job whose record livekit-server does not make in time: its pod aborts, and it is started anew.

On a virtual clock: two desks, two pods that call livekit-server as the real ones do, and a client
with the three attempts of livekit-server.
"""

from __future__ import annotations

from typing import Final

import pytest
from tests.kit.egress.records import Records
from tests.kit.egress.scene import Scene, fleet, scene, track
from tests.kit.egress.virtual import desks, memory_redis, on_loop_time

from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.peers.job_info import CREATES
from mediafleet_scheduler.psrpc.server import Server
from mediafleet_testbed.buses import MemoryBus
from mediafleet_testbed.standins.egress_worker import Io

PODS: Final = ("pod-0", "pod-1")
pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(120)]


class LosesCreates(MemoryBus):
    """A bus that loses the first CreateEgress requests."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left = count

    def publish(self, channel: str, data: bytes) -> None:
        if channel == CREATES and self.left:
            self.left -= 1
            return
        super().publish(channel, data)


@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_a_start_whose_record_is_not_made_recovers_within_the_clients_attempts(
    monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    on_loop_time(monkeypatch)
    bus, records, request = LosesCreates(lost), Records(), track()
    async with scene(bus, memory_redis()) as stage, Server(bus, "IOInfo") as server:
        await server.register("CreateEgress", records.create)
        await server.register("GetEgress", records.get)
        await server.register("UpdateEgress", records.update)
        for name in PODS:
            await stage.standin(name, start_seconds=0.3, io=Io.SERVER)
        stage.directory.publish(EgressView((fleet(*PODS),)))
        async with desks(stage, Settings()):
            assert await stage.call(request) is None
            assert running(stage) == [request.egress_id]
            assert request.egress_id in records.infos
            # A client that asks again hears of the job that runs.
            assert await stage.call(request) is None
            assert running(stage) == [request.egress_id]


def running(stage: Scene) -> list[str]:
    """Every job on every pod."""
    return [egress_id for pod in stage.standins.values() for egress_id in pod.jobs]

"""A whole desk and pods that bid later than is usual, and say yes."""

from __future__ import annotations

import asyncio

import pytest
from tests.kit.egress.scene import counted, fleet, scene, track, web
from tests.kit.egress.virtual import Records, desks, livekit_server, memory_redis, on_loop_time

from mediafleet_scheduler.core.egress.attempt import Outcome
from mediafleet_scheduler.core.egress.quarantine import Standing
from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.psrpc.bus import Bus, Receiver, Subscription
from mediafleet_testbed.buses import MemoryBus

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(60)]
PODS = ("pod-0", "pod-1")
JOBS = 10


class SlowBids:
    """The bus as a pod has it whose bids come late."""

    def __init__(self, inner: Bus, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds

    def publish(self, channel: str, data: bytes) -> None:
        if channel.endswith("|CLAIM"):
            loop = asyncio.get_running_loop()
            loop.call_later(self._seconds, self._inner.publish, channel, data)
        else:
            self._inner.publish(channel, data)

    async def subscribe(self, channel: str, receive: Receiver) -> Subscription:
        return await self._inner.subscribe(channel, receive)


async def test_the_desk_learns_how_long_to_wait_and_holds_nothing_against_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_loop_time(monkeypatch)
    bus = MemoryBus()
    async with scene(bus, memory_redis()) as stage, livekit_server(bus, Records()):
        for name in PODS:
            await stage.standin(name, bus=SlowBids(bus, 0.3))
        stage.directory.publish(EgressView((fleet(*PODS),)))
        async with desks(stage, Settings(), count=1) as one:
            (desk,) = one.services
            for _ in range(JOBS):
                assert await stage.call(track()) is None
                await asyncio.sleep(1.0)
            silent = counted(desk, "mediafleet_forward_attempts_total", outcome=Outcome.NO_BID)
            assert silent <= len(PODS), "each pod was too slow once"
            assert not desk.pods.quarantine.cases
            assert sorted(stage.jobs.values()) == [JOBS // 2, JOBS // 2]


async def test_a_pod_whose_pulseaudio_is_dead_goes_on_with_jobs_that_need_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_loop_time(monkeypatch)
    bus, pods = MemoryBus(), ("pod-0", "pod-1")
    async with scene(bus, memory_redis()) as stage, livekit_server(bus, Records()):
        await stage.standin("pod-0", cpus=64.0, pulse_dead=True)
        await stage.standin("pod-1", cpus=64.0)
        stage.directory.publish(EgressView((fleet(*pods, cpus=64.0),)))
        async with desks(stage, Settings(), count=1) as one:
            (desk,) = one.services
            for _ in range(8):
                assert await stage.call(web()) is None
                assert await stage.call(track()) is None
                # Longer than a pod that turned something down is asked last.
                await asyncio.sleep(Settings().ask_last_seconds + 1.0)
            quarantine = desk.pods.quarantine
            assert quarantine.standing("pod-0") is Standing.WELL
            assert quarantine.standing("pod-0", chrome=True) is not Standing.WELL
            kinds = [job.metric_type for job in stage.standins["pod-0"].jobs.values()]
            assert kinds
            assert set(kinds) == {"track"}

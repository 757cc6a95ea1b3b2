"""A whole desk tells which jobs of draining pods livekit-server has not taken the end of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from livekit.protocol import egress as livekit
from tests.kit.egress.scene import Scene, fleet, scene, track, with_state
from tests.kit.egress.virtual import (
    Desks,
    PodBus,
    Records,
    desks,
    livekit_server,
    memory_redis,
    on_loop_time,
)

from mediafleet_common.api.names import PodState
from mediafleet_common.reports.merged_config import UPDATE_SECONDS
from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.process.branch import EgressService
from mediafleet_testbed.buses import MemoryBus

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(60)]
LEAVING: Final = with_state(fleet("pod-0"), PodState.DRAINING)


class Frozen(Records):
    """A livekit-server that hears nothing while it is frozen."""

    frozen = False

    def take(self, data: bytes) -> None:
        if not self.frozen:
            super().take(data)

    def complete(self, egress_id: str) -> None:
        """It takes the last update, of which the desk hears nothing."""
        info = livekit.EgressInfo.FromString(self.infos[egress_id])
        info.status = livekit.EgressStatus.EGRESS_COMPLETE
        self.infos[egress_id] = info.SerializeToString()


@asynccontextmanager
async def stage_with_a_job(
    monkeypatch: pytest.MonkeyPatch, records: Frozen
) -> AsyncIterator[tuple[Scene, EgressService]]:
    async with a_desk_with_a_job(monkeypatch, records) as (stage, one):
        (desk,) = one.services
        yield stage, desk


@asynccontextmanager
async def a_desk_with_a_job(
    monkeypatch: pytest.MonkeyPatch, records: Frozen
) -> AsyncIterator[tuple[Scene, Desks]]:
    """The desk is there before the pod, and is still young."""
    on_loop_time(monkeypatch)
    bus = MemoryBus()
    async with (
        scene(bus, memory_redis()) as stage,
        livekit_server(bus, records),
        desks(stage, Settings(), count=0) as one,
    ):
        stage.directory.publish(EgressView(()))
        await one.start()
        await stage.standin("pod-0", bus=PodBus(bus, records))
        stage.directory.publish(EgressView((fleet("pod-0"),)))
        assert await stage.call(track("EG_1")) is None
        yield stage, one


async def test_what_was_published_is_not_yet_taken_by_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = Frozen()
    async with stage_with_a_job(monkeypatch, records) as (stage, desk):
        records.frozen = True
        stage.standins["pod-0"].stop_all()
        await asyncio.sleep(1.0)
        assert stage.standins["pod-0"].idle
        assert not desk.ledger.jobs, "its end was heard"
        stage.directory.publish(EgressView((LEAVING,)))
        await asyncio.sleep(10.0)
        assert desk.confirmer.unconfirmed(LEAVING) == {"pod-0": 1}
        records.frozen = False
        records.complete("EG_1")
        await asyncio.sleep(6.0)
        assert desk.confirmer.unconfirmed(LEAVING) == {"pod-0": 0}


async def test_an_end_that_nobody_heard_is_found_while_the_pod_drains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = Frozen()
    async with stage_with_a_job(monkeypatch, records) as (stage, desk):
        stage.directory.publish(EgressView((LEAVING,)))
        await asyncio.sleep(10.0)
        assert desk.confirmer.unconfirmed(LEAVING) == {"pod-0": 1}, "it runs"
        records.complete("EG_1")
        await asyncio.sleep(6.0)
        assert desk.confirmer.unconfirmed(LEAVING) == {"pod-0": 0}
        assert not desk.ledger.jobs


async def test_a_desk_that_takes_over_knows_at_once_which_ends_are_on_their_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = Frozen()
    async with a_desk_with_a_job(monkeypatch, records) as (stage, both):
        await asyncio.sleep(UPDATE_SECONDS)
        records.frozen = True
        stage.standins["pod-0"].stop_all()
        await asyncio.sleep(2.0)
        both.kill(both.ever[0])
        await both.start()
        (young,) = both.services
        assert not young.ledger.jobs, "it has ended before this desk came"
        stage.directory.publish(EgressView((LEAVING,)))
        await asyncio.sleep(2.0)
        assert young.confirmer.unconfirmed(LEAVING) == {"pod-0": 1}
        records.frozen = False
        records.complete("EG_1")
        await asyncio.sleep(6.0)
        assert young.confirmer.unconfirmed(LEAVING) == {"pod-0": 0}


async def test_a_desk_that_takes_over_where_nothing_ended_holds_no_pod_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_desk_with_a_job(monkeypatch, Frozen()) as (stage, both):
        stage.standins["pod-0"].stop_all()
        await asyncio.sleep(UPDATE_SECONDS)
        await both.start()
        _, young = both.services
        stage.directory.publish(EgressView((LEAVING,)))
        await asyncio.sleep(2.0)
        assert young.confirmer.unconfirmed(LEAVING) == {"pod-0": 0}


async def test_a_desk_that_finds_an_empty_ledger_does_not_know_of_pods_that_were_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_desk_with_a_job(monkeypatch, Frozen()) as (stage, both):
        both.kill(both.ever[0])
        await stage.commands.flushall()
        await both.start()
        (young,) = both.services
        stage.directory.publish(EgressView((LEAVING,)))
        await asyncio.sleep(2.0)
        assert young.confirmer.unconfirmed(LEAVING) == {"pod-0": None}

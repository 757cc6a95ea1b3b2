"""A worker that was killed, and comes back or not: its jobs are told lost, requests answered."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest
from tests.kit.egress.scene import Scene, counted, eventually, scene, track
from tests.kit.egress.virtual import Records, desks, livekit_server, memory_redis, on_loop_time

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.api.names import PodState
from mediafleet_common.probes import http_client
from mediafleet_common.probes.http_client import Failure, NoLoad
from mediafleet_common.probes.load import Load, Source, parse
from mediafleet_scheduler.core.egress.views import EgressView, Fleet, Worker
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.psrpc.errors import PsrpcError
from mediafleet_testbed.buses import MemoryBus
from mediafleet_testbed.standins import egress_metrics

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(60)]
REFUSED: Final = NoLoad(Failure.UNREACHABLE, "connection refused")
WORKER: Final = Worker("w1", "w1", "w1", "http://w1/metrics", 8.0, None, PodState.READY)
FLEET: Final = Fleet("", "rec", Placement(), frozenset(RequestType), None, (WORKER,))


def metrics_of(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's metrics answer while it runs."""

    async def poll(_: object, url: str, source: Source, timeout: float) -> Load | NoLoad:
        del url, timeout
        worker = stage.standins.get("w1")
        return REFUSED if worker is None else parse(egress_metrics.exposition(worker), source)

    monkeypatch.setattr(http_client, "poll", poll)


async def killed(stage: Scene) -> None:
    """The worker's process is gone, with what it was recording."""
    await stage.standins.pop("w1").__aexit__(None, None, None)


@pytest.mark.parametrize(
    ("comes_back", "within"), [(True, 30.0), (False, 60.0)], ids=["comes back", "stays dead"]
)
async def test_jobs_of_a_killed_worker_are_told_lost_though_its_entry_stays_and_no_job_comes(
    monkeypatch: pytest.MonkeyPatch, comes_back: bool, within: float
) -> None:
    on_loop_time(monkeypatch)
    bus = MemoryBus()
    async with scene(bus, memory_redis()) as stage, livekit_server(bus, Records()):
        metrics_of(stage, monkeypatch)
        await stage.standin("w1", 8.0)
        stage.directory.publish(EgressView((FLEET,)))
        async with desks(stage, Settings(), count=1) as one:
            (desk,) = one.services
            assert await stage.call(track()) is None
            await asyncio.sleep(20.0)
            await killed(stage)
            if comes_back:
                await asyncio.sleep(2.0)
                await stage.standin("w1", 8.0)

            def told() -> bool:
                return counted(desk, "mediafleet_jobs_lost_total", fleet="rec") == 1.0

            await eventually(told, within)
            assert not desk.ledger.jobs


async def test_where_the_only_worker_is_dead_the_client_hears_a_refusal_within_its_attempts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_loop_time(monkeypatch)
    bus, loop = MemoryBus(), asyncio.get_running_loop()
    async with scene(bus, memory_redis()) as stage, livekit_server(bus, Records()):
        metrics_of(stage, monkeypatch)
        stage.directory.publish(EgressView((FLEET,)))
        async with desks(stage, Settings(), count=1):
            began = loop.time()
            failure = await stage.call(track())
            assert isinstance(failure, PsrpcError)
            assert str(failure).startswith("unavailable: NoBid"), failure
            assert loop.time() - began < 15.0

"""A pod that dies with what it was recording."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest
import redis.asyncio as redis
from livekit import api
from livekit.protocol import egress as livekit
from tests.kit.egress.records import UNKNOWN_FIELD, livekit_io
from tests.kit.egress.scene import QUICK, Scene, counted, eventually, fleet, scene, track

from mediafleet_common.api.events import EventToPost
from mediafleet_scheduler.core.egress.accounting.lost_jobs import Patience
from mediafleet_scheduler.core.egress.views import EgressView, Fleet
from mediafleet_scheduler.egress.base.settings import LostTimes, Settings
from mediafleet_scheduler.egress.jobs import lost_jobs
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.buses import MemoryBus
from mediafleet_testbed.real_servers import LIVEKIT_KEY, LIVEKIT_SECRET, LivekitServer
from mediafleet_testbed.standins.egress_worker import Io

WITHIN_SECONDS = 30.0
"""Timers, not work, take most of it: it is the same on a busy machine."""
AT_ONCE = replace(
    QUICK, list_wait_seconds=0.2, patience=Patience(young_seconds=0.0, gone_seconds=0.0)
)


@pytest.fixture
async def stage(commands: redis.Redis) -> AsyncIterator[Scene]:
    async with scene(MemoryBus(), commands) as made:
        yield made


def reporting(*names: str) -> Fleet:
    """A fleet that wants it written."""
    made = fleet(*names)
    return replace(made, placement=made.placement.model_copy(update={"report_lost": True}))


@asynccontextmanager
async def pod_with_jobs(stage: Scene, *ids: str) -> AsyncIterator[AsyncExitStack]:
    """A pod that dies when the stack is closed; what runs on it is started by a desk."""
    async with AsyncExitStack() as life:
        kept, stage.stack = stage.stack, life
        await stage.standin("pod-0")
        stage.stack = kept
        stage.directory.publish(EgressView((reporting("pod-0"),)))
        yield life


async def dies(stage: Scene, life: AsyncExitStack) -> None:
    """The pod is away, and the directory says so."""
    await life.aclose()
    stage.directory.publish(EgressView((reporting(),)))


async def test_the_jobs_of_a_pod_that_died_are_counted_told_and_written_once(
    stage: Scene,
) -> None:
    posted: list[EventToPost] = []

    async def post(fleet: Fleet, event: EventToPost) -> None:
        posted.append(event)

    async with (
        livekit_io(stage.bus) as records,
        pod_with_jobs(stage) as life,
        stage.desk(AT_ONCE, post=post) as one,
        stage.desk(AT_ONCE, post=post) as two,
    ):
        for egress_id in ("EG_a", "EG_b"):
            assert (await stage.start(track(egress_id))).error is None
            records.put(egress_id, livekit.EgressStatus.EGRESS_ACTIVE)
        await asyncio.gather(one.settled(), two.settled())
        await dies(stage, life)
        for _ in range(3):
            for desk in (one, two):
                await desk.sweeper.sync()
                await desk.sweeper.ask_pods()
                await desk.losses.done()
                await desk.settled()
        assert sorted(records.updates) == ["EG_a", "EG_b"]
        info = livekit.EgressInfo.FromString(records.infos["EG_a"])
        assert info.status == livekit.EgressStatus.EGRESS_FAILED
        assert info.error == "its pod pod-0 is gone"
        assert info.ended_at > 0
        assert info.room_name == "room"
        assert UNKNOWN_FIELD in records.infos["EG_a"]
        assert [event.reason for event in posted] == ["JobsLost"]
        assert "2 jobs with pod pod-0" in posted[0].note
        lost = [counted(desk, "mediafleet_jobs_lost_total", fleet="rec") for desk in (one, two)]
        assert sum(lost) == 2
        assert not one.ledger.jobs
        assert not two.ledger.jobs


async def test_a_record_that_has_ended_is_left_alone_and_its_job_not_lost(stage: Scene) -> None:
    async with (
        livekit_io(stage.bus) as records,
        pod_with_jobs(stage) as life,
        stage.desk(AT_ONCE) as desk,
    ):
        assert (await stage.start(track("EG_a"))).error is None
        before = records.put("EG_a", livekit.EgressStatus.EGRESS_COMPLETE)
        await dies(stage, life)
        for _ in range(2):
            await desk.sweeper.ask_pods()
            await desk.losses.done()
        assert records.infos["EG_a"] == before
        assert records.updates == []
        assert counted(desk, "mediafleet_jobs_lost_total", fleet="rec") == 0
        assert counted(desk, "mediafleet_jobs_ended_total", how="missed") == 1


async def test_livekit_server_is_told_once_it_is_back(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_jobs, "_FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(lost_jobs, "_ENDED_PAUSES_SECONDS", (0.01,))
    async with (
        livekit_io(stage.bus) as records,
        pod_with_jobs(stage) as life,
        stage.desk(AT_ONCE) as desk,
    ):
        assert (await stage.start(track("EG_a"))).error is None
        records.put("EG_a", livekit.EgressStatus.EGRESS_ACTIVE)
        await dies(stage, life)
        records.away = 5
        for _ in range(2):
            await desk.sweeper.ask_pods()
        await eventually(lambda: records.updates == ["EG_a"])
        assert counted(desk, "mediafleet_lost_job_reports_total", outcome="failed") >= 3


async def test_a_livekit_server_that_stays_away_is_called_as_often_as_the_settings_say(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_jobs, "_FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(lost_jobs, "_ENDED_PAUSES_SECONDS", (0.01,))
    async with (
        livekit_io(stage.bus) as records,
        pod_with_jobs(stage) as life,
        stage.desk(replace(AT_ONCE, lost=LostTimes(attempts=2))) as desk,
    ):
        assert (await stage.start(track("EG_a"))).error is None
        records.put("EG_a", livekit.EgressStatus.EGRESS_ACTIVE)
        await dies(stage, life)
        records.away = 1000
        for _ in range(2):
            await desk.sweeper.ask_pods()
            await desk.losses.done()
        assert counted(desk, "mediafleet_lost_job_reports_total", outcome="failed") == 2


async def test_nothing_is_written_for_a_fleet_that_does_not_ask_for_it(stage: Scene) -> None:
    async with (
        livekit_io(stage.bus) as records,
        pod_with_jobs(stage) as life,
        stage.desk(AT_ONCE) as desk,
    ):
        assert (await stage.start(track("EG_a"))).error is None
        records.put("EG_a", livekit.EgressStatus.EGRESS_ACTIVE)
        await life.aclose()
        stage.directory.publish(EgressView((fleet(),)))
        for _ in range(2):
            await desk.sweeper.ask_pods()
            await desk.losses.done()
        assert counted(desk, "mediafleet_jobs_lost_total", fleet="rec") == 1
        assert records.updates == []


async def test_a_pod_that_left_is_asked_after_at_once(stage: Scene) -> None:
    """The sweeper waits for hours; what wakes it is the pod that is not there any more."""
    async with pod_with_jobs(stage) as life, stage.desk(AT_ONCE) as desk:
        assert (await stage.start(track("EG_a"))).error is None
        await dies(stage, life)
        await eventually(lambda: "EG_a" in desk.sweeper.suspected)


async def test_the_jobs_of_a_dead_pod_are_told_within_30_s_by_a_desk_as_it_is_run(
    stage: Scene,
) -> None:
    posted: list[EventToPost] = []
    now = asyncio.get_running_loop().time

    async def post(fleet: Fleet, event: EventToPost) -> None:
        posted.append(event)

    async with (
        livekit_io(stage.bus) as records,
        pod_with_jobs(stage) as life,
        stage.desk(Settings(), post=post) as desk,
    ):
        assert (await stage.start(track("EG_a"))).error is None
        records.put("EG_a", livekit.EgressStatus.EGRESS_ACTIVE)
        await desk.settled()
        died_at = now()
        await dies(stage, life)
        await eventually(lambda: bool(posted), WITHIN_SECONDS)
        print(f"posted {now() - died_at:.1f} s after the pod died")
        assert [event.reason for event in posted] == ["JobsLost"]
        assert counted(desk, "mediafleet_jobs_lost_total", fleet="rec") == 1
        await eventually(lambda: records.updates == ["EG_a"])


async def test_livekit_server_lists_a_lost_recording_as_failed(
    commands: redis.Redis, livekit: LivekitServer
) -> None:
    async with (
        RedisBus(commands) as bus,
        scene(bus, commands) as stage,
        api.LiveKitAPI(livekit.url, LIVEKIT_KEY, LIVEKIT_SECRET) as client,
    ):
        await client.room.create_room(api.CreateRoomRequest(name="lost"))
        async with AsyncExitStack() as life:
            kept, stage.stack = stage.stack, life
            await stage.standin("pod-0", io=Io.SERVER)
            stage.stack = kept
            stage.directory.publish(EgressView((reporting("pod-0"),)))
            async with stage.desk(AT_ONCE) as desk:
                request = api.TrackEgressRequest(
                    room_name="lost", track_id="TR_1", websocket_url="ws://x"
                )
                started = await client.egress.start_track_egress(request)
                await dies(stage, life)
                for _ in range(2):
                    await desk.sweeper.ask_pods()
                    await desk.losses.done()
        listed = await client.egress.list_egress(api.ListEgressRequest(egress_id=started.egress_id))
        (info,) = listed.items
        assert info.status == api.EgressStatus.EGRESS_FAILED
        assert info.error == "its pod pod-0 is gone"
        assert info.ended_at > 0
        assert info.track.track_id == "TR_1"

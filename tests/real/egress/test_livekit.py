"""The desk in front of an unmodified livekit-server, called by LiveKit's own client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis.asyncio as redis
from livekit import api
from tests.kit.egress.scene import Scene, eventually, fleet, scene, track, with_state

from mediafleet_common.api.names import PodState
from mediafleet_scheduler.core.egress.queue import QueueRule
from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.real_servers import LIVEKIT_KEY, LIVEKIT_SECRET, LivekitServer
from mediafleet_testbed.standins.egress_worker import Io

NAMES = tuple(f"pod-{n}" for n in range(10))


@pytest.fixture
async def stage(commands: redis.Redis) -> AsyncIterator[Scene]:
    async with RedisBus(commands) as bus, scene(bus, commands) as made:
        yield made


@pytest.fixture
async def client(livekit: LivekitServer) -> AsyncIterator[api.LiveKitAPI]:
    async with api.LiveKitAPI(livekit.url, LIVEKIT_KEY, LIVEKIT_SECRET) as made:
        yield made


async def start(client: api.LiveKitAPI, room: str = "room") -> api.EgressInfo:
    """Ask for a recording of a track."""
    request = api.TrackEgressRequest(room_name=room, track_id="TR_1", websocket_url="ws://x")
    return await client.egress.start_track_egress(request)


async def test_a_start_by_livekits_client_is_placed_and_noted(
    stage: Scene, client: api.LiveKitAPI
) -> None:
    await client.room.create_room(api.CreateRoomRequest(name="room"))
    await stage.standin("pod-0", io=Io.SERVER)
    stage.directory.publish(EgressView((fleet("pod-0"),)))
    async with stage.desk(Settings()) as desk:
        info = await start(client)
        assert stage.started == [info.egress_id]
        listed = await client.egress.list_egress(api.ListEgressRequest(room_name="room"))
        assert [item.egress_id for item in listed.items] == [info.egress_id]
        await client.egress.stop_egress(api.StopEgressRequest(egress_id=info.egress_id))
        await eventually(lambda: not desk.ledger.jobs)


async def test_51_at_once_are_5_or_6_on_each_of_10_pods(
    stage: Scene, client: api.LiveKitAPI
) -> None:
    await client.room.create_room(api.CreateRoomRequest(name="room"))
    for name in NAMES:
        await stage.standin(name, io=Io.SERVER)
    stage.directory.publish(EgressView((fleet(*NAMES),)))
    async with stage.desk(Settings()):
        infos = await asyncio.gather(*(start(client) for _ in range(51)))
        assert sorted(stage.started) == sorted(info.egress_id for info in infos)
        assert sorted(stage.jobs.values()) == [5] * 9 + [6]


async def test_a_full_fleet_is_told_to_livekits_client(
    stage: Scene, client: api.LiveKitAPI
) -> None:
    await client.room.create_room(api.CreateRoomRequest(name="room"))
    await stage.standin("pod-0", cpus=0.25, io=Io.SERVER)
    stage.directory.publish(EgressView((fleet("pod-0", cpus=0.25),)))
    async with stage.desk(Settings()) as desk:
        with pytest.raises(api.TwirpError) as caught:
            await start(client)
        samples = [each for family in desk.metrics.rejections.collect() for each in family.samples]
        told = sum(each.value for each in samples if each.name.endswith("_total"))
        assert told == 1, "it can never fit, so it is not tried again"
    assert caught.value.code == "failed_precondition"
    assert "NoTypeCapacity" in caught.value.message


async def test_a_room_that_is_made_with_egress_is_recorded(
    stage: Scene, client: api.LiveKitAPI
) -> None:
    await stage.standin("pod-0", io=Io.SERVER)
    stage.directory.publish(EgressView((fleet("pod-0"),)))
    async with stage.desk(Settings()):
        composite = api.RoomCompositeEgressRequest(
            room_name="recorded",
            file_outputs=[api.EncodedFileOutput(filepath="recorded.mp4")],
        )
        await client.room.create_room(
            api.CreateRoomRequest(name="recorded", egress=api.RoomEgress(room=composite))
        )
        await eventually(lambda: stage.started)
        listed = await client.egress.list_egress(api.ListEgressRequest(room_name="recorded"))
        assert [item.egress_id for item in listed.items] == stage.started
        assert listed.items[0].room_composite.room_name == "recorded"


async def test_two_desks_answer_livekits_client_as_one(
    stage: Scene, client: api.LiveKitAPI
) -> None:
    await client.room.create_room(api.CreateRoomRequest(name="room"))
    for name in NAMES:
        await stage.standin(name, io=Io.SERVER)
    stage.directory.publish(EgressView((fleet(*NAMES),)))
    async with stage.desk(Settings()), stage.desk(Settings()):
        infos = await asyncio.gather(*(start(client) for _ in range(51)))
        assert sorted(stage.started) == sorted(info.egress_id for info in infos)
        assert sorted(stage.jobs.values()) == [5] * 9 + [6]


async def test_livekits_client_waits_for_a_pod_that_comes(
    stage: Scene, client: api.LiveKitAPI
) -> None:
    await client.room.create_room(api.CreateRoomRequest(name="room"))
    for name in ("pod-0", "pod-1"):
        await stage.standin(name, cpus=0.5, io=Io.SERVER)
    made = replace(fleet("pod-0", "pod-1", cpus=0.5), queue=QueueRule(5.0))
    stage.directory.publish(EgressView((with_state(made, PodState.PENDING, "pod-1"),)))
    async with stage.desk(Settings()) as desk:
        await start(client)
        call = asyncio.create_task(start(client))
        await eventually(lambda: len(desk.ledger.waiting) == 1)
        stage.directory.publish(EgressView((made,)))
        info = await call
    assert stage.started[1:] == [info.egress_id]


async def test_the_servers_own_retry_finds_the_place_that_was_kept_for_it(
    stage: Scene, client: api.LiveKitAPI
) -> None:
    await client.room.create_room(api.CreateRoomRequest(name="room"))
    for name in ("pod-0", "pod-1"):
        await stage.standin(name, cpus=0.5, io=Io.SERVER)
    made = replace(fleet("pod-0", "pod-1", cpus=0.5), queue=QueueRule(0.1))
    stage.directory.publish(EgressView((with_state(made, PodState.PENDING, "pod-1"),)))
    async with stage.desk(Settings()) as desk:
        await start(client)
        call = asyncio.create_task(start(client))
        await eventually(lambda: any(w.keep_until for w in desk.ledger.waiting.values()))
        stage.directory.publish(EgressView((made,)))
        assert (await stage.start(track())).error is not None, "the place is kept"
        info = await call
    assert stage.started[1:] == [info.egress_id]

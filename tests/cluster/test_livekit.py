"""End to end on a node: unmodified livekit-server and LiveKit's own client, two desks, a fleet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest
from livekit import api as livekit
from tests.kit.cluster import complaints, kills
from tests.kit.cluster.livekit import CLIENT_SECONDS, client, install, joined
from tests.kit.cluster.product import Product, deployed
from tests.kit.cluster.scene import Scene, watched
from tests.kit.figures import Show
from tests.kit.fleets import manifests
from tests.kit.watching import api
from tests.kit.watching.verdicts import judge

from mediafleet_common.api.names import Kind, PodState
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

SECONDS: Final = 90.0
FLEET: Final = "rec"
ROOM: Final = "room"
FILE: Final = livekit.EncodedFileOutput(filepath="x.mp4")
ACTIVE: Final = livekit.EgressStatus.EGRESS_ACTIVE
COMPLETE: Final = livekit.EgressStatus.EGRESS_COMPLETE
DESKS: Final = 2
TOLD_BY_SERVER: Final = {"STANDIN_IO": "server"}

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def product(node: Node) -> Iterator[Product]:
    # As users have it: a pod leaves once livekit-server says that its jobs have ended.
    values = {"egress": {"replicas": DESKS}, "operator": {"extraArgs": []}}
    with Workspace.create(node) as workspace, deployed(node, workspace, values) as product:
        install(product)
        yield product


@pytest.fixture
async def scene(product: Product) -> AsyncIterator[Scene]:
    async with watched(product) as scene:
        yield scene
        await scene.api.delete(api.fleet(Kind.EGRESS_FLEET, scene.namespace, FLEET))
        await scene.pods.until("no pod is left", lambda: not scene.pods.of(FLEET), SECONDS)


@pytest.fixture
async def user(product: Product) -> AsyncIterator[Any]:
    async with client(product) as user:
        yield user


async def serving(scene: Scene, count: int) -> None:
    """A fleet of so many pods that serve, as each desk knows."""
    redis = scene.product.redis
    await scene.create(manifests.egress_fleet(FLEET, redis, count, env=TOLD_BY_SERVER))
    await scene.until_wanted(FLEET, count, 0, SECONDS)
    await desks_count(scene, PodState.READY, count)


async def desks_count(scene: Scene, state: PodState, count: int) -> None:
    """Wait until each desk, whose watch may be behind the test's, counts so many pods."""
    workers = "mediafleet_fleet_workers"
    await complaints.until_counted(scene, "egress", workers, DESKS * count, state=state)


async def track(user: Any, number: int) -> str:
    """Start a recording of a track; its id."""
    file = livekit.DirectFileOutput(filepath=f"{number}.ogg")
    request = livekit.TrackEgressRequest(room_name=ROOM, track_id=f"TR_{number}", file=file)
    return str((await user.egress.start_track_egress(request)).egress_id)


async def listed(user: Any, *ids: str, status: int) -> None:
    """Wait until ListEgress shows all these recordings with a status."""

    async def ask() -> dict[str, int]:
        found = await user.egress.list_egress(livekit.ListEgressRequest())
        return {each.egress_id: each.status for each in found.items if each.egress_id in ids}

    wanted = dict.fromkeys(ids, status)
    await until("ListEgress says so", ask, lambda seen: seen == wanted, seconds=SECONDS)


async def logged(scene: Scene, *ids: str) -> None:
    """Wait until the workers' logs, which lag behind ListEgress, tell of these recordings."""
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*(scene.logs.seen(egress_id).wait() for egress_id in ids))


async def stop(user: Any, *ids: str) -> None:
    """End recordings, until ListEgress shows that all are complete."""
    for egress_id in ids:
        await user.egress.stop_egress(livekit.StopEgressRequest(egress_id=egress_id))
    await listed(user, *ids, status=COMPLETE)


async def nothing_lost(scene: Scene, since: float, *ids: str) -> None:
    """Each recording was started once and has ended, and no pod was deleted that had one."""

    async def going_on() -> set[str]:
        return {egress_id for egress_id in ids if not scene.logs.has_ended(egress_id)}

    # A worker tells livekit-server of an end before it writes its log.
    await until("the logs tell of all ends", going_on, lambda left: not left, seconds=SECONDS)
    assert {egress_id: scene.logs.starts[egress_id] for egress_id in ids} == dict.fromkeys(ids, 1)
    jobs = list(scene.logs.jobs)
    assert judge(scene.deletions(since), jobs, manifests.DRAIN_TIMEOUT_SECONDS) == []


async def test_every_kind_of_recording_is_started_listed_changed_and_stopped(
    scene: Scene, user: Any
) -> None:
    since = time.time()
    await serving(scene, 2)
    await user.room.create_room(livekit.CreateRoomRequest(name=ROOM))
    composite = await user.egress.start_room_composite_egress(
        livekit.RoomCompositeEgressRequest(room_name=ROOM, layout="grid", file_outputs=[FILE])
    )
    stream = livekit.StreamOutput(
        protocol=livekit.StreamProtocol.RTMP, urls=["rtmp://first.example/live"]
    )
    web = await user.egress.start_web_egress(
        livekit.WebEgressRequest(url="https://example.com", stream_outputs=[stream])
    )
    person = await user.egress.start_participant_egress(
        livekit.ParticipantEgressRequest(room_name=ROOM, identity="p", file_outputs=[FILE])
    )
    both = await user.egress.start_track_composite_egress(
        livekit.TrackCompositeEgressRequest(
            room_name=ROOM, audio_track_id="TR_a", video_track_id="TR_v", file_outputs=[FILE]
        )
    )
    ids = [each.egress_id for each in (composite, web, person, both)] + [await track(user, 0)]
    await listed(user, *ids, status=ACTIVE)

    second = "rtmp://second.example/live"
    changed = await user.egress.update_stream(
        livekit.UpdateStreamRequest(egress_id=web.egress_id, add_output_urls=[second])
    )
    assert [each.url for each in changed.stream_results] == [second]
    async with joined(scene.product, ROOM, composite.egress_id):
        await user.egress.update_layout(
            livekit.UpdateLayoutRequest(egress_id=composite.egress_id, layout="speaker")
        )
        page = livekit.RoomParticipantIdentity(room=ROOM, identity=composite.egress_id)
        assert "speaker" in (await user.room.get_participant(page)).metadata
    await stop(user, *ids)
    await nothing_lost(scene, since, *ids)


async def test_a_room_that_is_made_with_egress_is_recorded(scene: Scene, user: Any) -> None:
    since = time.time()
    await serving(scene, 1)
    composite = livekit.RoomCompositeEgressRequest(room_name="recorded", file_outputs=[FILE])
    await user.room.create_room(
        livekit.CreateRoomRequest(name="recorded", egress=livekit.RoomEgress(room=composite))
    )
    found = await until(
        "the room is recorded",
        lambda: user.egress.list_egress(livekit.ListEgressRequest(room_name="recorded")),
        lambda found: any(each.status == ACTIVE for each in found.items),
        seconds=SECONDS,
    )
    (egress_id,) = [each.egress_id for each in found.items]
    await stop(user, egress_id)
    await nothing_lost(scene, since, egress_id)


async def test_a_scale_down_and_the_death_of_a_desk_cost_no_recording(
    scene: Scene, user: Any
) -> None:
    since = time.time()
    await serving(scene, 2)
    await user.room.create_room(livekit.CreateRoomRequest(name=ROOM))
    ids = list(await asyncio.gather(*(track(user, number) for number in range(4))))
    await listed(user, *ids, status=ACTIVE)
    await logged(scene, *ids)
    await scene.api.scale(Kind.EGRESS_FLEET, scene.namespace, FLEET, 1)
    await scene.until_wanted(FLEET, 1, 0, SECONDS)
    leaving = [pod for pod in scene.pods.of(FLEET) if not pod.serving]
    assert len(leaving) == 1
    kept = scene.logs.running(leaving[0].uid)
    assert kept, "it drains, and records on"
    await desks_count(scene, PodState.DRAINING, 1)
    (await kills.find(scene, "egress")).kill()
    more = list(await asyncio.gather(*(track(user, number) for number in range(4, 8))))
    await listed(user, *ids, *more, status=ACTIVE)
    await logged(scene, *more)
    assert scene.logs.running(leaving[0].uid) == kept, "a pod that drains is given nothing"

    await stop(user, *ids)
    await scene.until_drained(FLEET, 1, SECONDS)
    await stop(user, *more)
    await nothing_lost(scene, since, *ids, *more)


@pytest.mark.parametrize("boot_seconds", [3.0, 16.0], ids=["5s", "20s"])
async def test_a_sleeping_fleet_serves_a_client_that_waits_for_its_slow_pod(
    scene: Scene, user: Any, boot_seconds: float, show: Show
) -> None:
    made = manifests.egress_fleet(
        *(FLEET, scene.product.redis, 0),
        env={**TOLD_BY_SERVER, "STANDIN_BOOT_SECONDS": str(boot_seconds)},
        placement={"mode": "spread", "cpu": 16, "queue": {"maxWait": "9s"}},
        autoscaling={"min": 0, "max": 2, "coolDown": "8s"},
    )
    await scene.create(made)
    await user.room.create_room(livekit.CreateRoomRequest(name=ROOM))
    await until(
        "a desk tells the sleeping fleet's demand",
        lambda: scene.status(Kind.EGRESS_FLEET, FLEET),
        lambda status: (
            ("ScalingActive", "True")
            in {(each["type"], each["status"]) for each in status.get("conditions", ())}
        ),
        seconds=SECONDS,
    )
    since = time.time()
    egress_id = await track(user, 0)
    served = time.time()
    await listed(user, egress_id, status=ACTIVE)
    (pod,) = scene.pods.of(FLEET)
    assert pod.ready_at is not None
    await stop(user, egress_id)
    await nothing_lost(scene, since, egress_id)
    show(
        f"builtin: first pod Ready after {pod.ready_at - since:.1f} s, the client served "
        f"after {served - since:.1f} s of {CLIENT_SECONDS:g}"
    )

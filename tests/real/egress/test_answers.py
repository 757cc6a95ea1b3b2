"""What a client hears when a fleet is full, or when it asks again for what runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis.asyncio as redis
from livekit.protocol import egress as livekit
from tests.kit.egress.scene import QUICK, Scene, counted, eventually, fleet, scene, track, web

from mediafleet_common.api.egress.costs import Limits, RequestType
from mediafleet_common.api.egress.costs import Memory as CountedMemory
from mediafleet_common.api.egress.placement import Mode, Placement, WhenFull
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.rooms import room_names
from mediafleet_scheduler.core.egress.views import EgressView, Fleet
from mediafleet_scheduler.egress.ledger.records import Record
from mediafleet_scheduler.egress.ledger.store import Store
from mediafleet_scheduler.egress.peers.forwarding import SERVICE, START_EGRESS
from mediafleet_scheduler.egress.peers.job_info import CREATES, UPDATES
from mediafleet_scheduler.psrpc import channels
from mediafleet_scheduler.psrpc.envelope import Grant, Request, encode
from mediafleet_scheduler.psrpc.errors import Code, NoBidError
from mediafleet_scheduler.psrpc.server import Server
from mediafleet_testbed.buses import MemoryBus
from mediafleet_testbed.standins.egress_rules import Memory


@pytest.fixture
async def stage(commands: redis.Redis) -> AsyncIterator[Scene]:
    async with scene(MemoryBus(), commands) as made:
        yield made


def that(when_full: WhenFull, *names: str) -> Fleet:
    return replace(fleet(*names, cpus=4.0), placement=Placement(when_full=when_full))


async def full_beside_stock(stage: Scene, when_full: WhenFull = WhenFull.REFUSE) -> None:
    """A fleet of one pod, and a stock worker on the topic where the desk stands."""
    await stage.standin("pod-0", 4.0)
    await stage.standin("stock", 4.0, upstream=True)
    stage.directory.publish(EgressView((that(when_full, "pod-0"),)))


async def test_a_silent_fleet_leaves_what_it_has_no_room_for_to_others(stage: Scene) -> None:
    await full_beside_stock(stage, WhenFull.SILENT)
    async with stage.desk() as desk:
        for _ in range(2):
            assert (await stage.start(web())).error is None
        assert stage.jobs == {"pod-0": 1, "stock": 1}
        assert counted(desk, "mediafleet_silences_total", fleet="rec") == 1
        with pytest.raises(NoBidError):
            await stage.start(web())


async def test_a_fleet_that_refuses_is_silent_while_others_take_requests(stage: Scene) -> None:
    await full_beside_stock(stage)
    async with stage.desk() as desk:
        await stage.start(web())
        refused = await stage.start(web())
        assert refused.error is not None
        assert refused.error.code is Code.RESOURCE_EXHAUSTED
        granted = channels.grant(SERVICE, START_EGRESS)
        stage.bus.publish(granted, encode(Grant("REQ_1", "SRV_abcdefghijkl")))
        assert (await stage.start(web())).error is None
        assert stage.jobs == {"pod-0": 1, "stock": 1}
        assert counted(desk, "mediafleet_foreign_bidder_grants_total") >= 1


async def test_the_grants_of_other_desks_are_no_foreign_bids(stage: Scene) -> None:
    await stage.fleet("pod-0")
    async with stage.desk() as one, stage.desk() as two:
        await stage.burst(*(track() for _ in range(10)))
        for desk in (one, two):
            assert counted(desk, "mediafleet_foreign_bidder_grants_total") == 0


async def test_what_runs_here_is_never_left_to_others(stage: Scene) -> None:
    await full_beside_stock(stage, WhenFull.SILENT)
    async with stage.desk():
        await stage.start(web("EG_x"))
    async with stage.desk() as desk:
        assert (await stage.start(web("EG_x"))).error is None
        stage.standins["pod-0"].stop_all()
        await eventually(lambda: not desk.ledger.jobs)
        assert (await stage.start(web())).error is None, "the pod is full again"
        await desk.settled()
        again = await stage.start(web("EG_x"))
        assert again.error is None
    assert stage.started.count("EG_x") == 1
    assert stage.jobs["stock"] == 0


async def test_rooms_and_priority_say_which_fleet_takes_what(stage: Scene) -> None:
    for name in ("a", "b", "vip"):
        await stage.standin(name, 4.0)
    first = replace(fleet("b", cpus=4.0, name="b"), priority=1)
    vip = replace(fleet("vip", cpus=4.0, name="vip"), priority=2, rooms=room_names(["vip-*"]))
    stage.directory.publish(EgressView((fleet("a", cpus=4.0, name="a"), first, vip)))
    async with stage.desk():
        request = web()
        request.room_name = "vip-1"
        await stage.start(request)
        await stage.start(web())
        assert stage.jobs == {"a": 0, "b": 1, "vip": 1}
        request = web()
        request.room_name = "vip-2"
        await stage.start(request)
        assert stage.jobs == {"a": 1, "b": 1, "vip": 1}, "a full fleet leaves it to the next"


async def test_a_room_that_no_fleet_takes_gets_no_bid(stage: Scene) -> None:
    await stage.standin("pod-0")
    only = replace(fleet("pod-0"), rooms=room_names(["vip-*"]))
    stage.directory.publish(EgressView((only,)))
    async with stage.desk():
        with pytest.raises(NoBidError):
            await stage.start(track())


async def test_a_retry_is_told_what_the_pod_told_livekit_server(stage: Scene) -> None:
    await stage.standin("pod-0", silent=True)
    stage.directory.publish(EgressView((fleet("pod-0"),)))
    async with stage.desk(replace(QUICK, forward_seconds=0.3, least_forward_seconds=0.0)) as desk:
        await stage.give_up(track("EG_x"), seconds=0.3)
        await eventually(lambda: desk.ledger.jobs["EG_x"].started_at is not None)
        answer = await stage.start(track("EG_x"))
    info = livekit.EgressInfo.FromString(answer.payload)
    assert (info.egress_id, info.room_name) == ("EG_x", "room")
    assert info.track.track_id == "TR_1", "of the retry's own bytes"


async def test_a_burst_while_redis_is_slow_waits_for_its_turn_instead_of_failing(
    stage: Scene,
) -> None:
    store = Store(stage.commands, Ledger())
    await store.open()
    await stage.commands.client_pause(300)
    found = await asyncio.gather(*(store.find(f"EG_{number}") for number in range(300)))
    await store.close()
    assert found == [None] * 300


async def test_a_retry_is_told_what_livekit_server_knows_when_nothing_was_heard(
    stage: Scene,
) -> None:
    await stage.standin("pod-0")
    stage.directory.publish(EgressView((fleet("pod-0"),)))
    store = Store(stage.commands, Ledger())
    await store.open()
    job = Job("EG_x", "/rec", "pod-0", "pod-0", "pod-0", RequestType.TRACK, 0.5, "t", 1.0)
    await store.claim([(job, "")])
    await store.write([store.started(Record(job._replace(started_at=2.0)))])
    await store.close()

    async def tell(request: Request) -> bytes:
        info = livekit.EgressInfo(egress_id="EG_x", room_name="from the server", started_at=7)
        answer: bytes = info.SerializeToString()
        return answer

    patient = replace(QUICK, info_wait_seconds=5.0)
    async with Server(stage.bus, "IOInfo") as server, stage.desk(patient):
        await server.register("GetEgress", tell)
        answer = await stage.start(track("EG_x"))
    assert livekit.EgressInfo.FromString(answer.payload).room_name == "from the server"


async def test_the_mode_changes_under_load_and_no_request_is_lost(stage: Scene) -> None:
    names = [f"pod-{n}" for n in range(8)]
    made = await stage.fleet(*names, mode=Mode.SPREAD)
    packed = replace(made, placement=made.placement.model_copy(update={"mode": Mode.PACK}))
    async with stage.desk() as one, stage.desk() as two:
        first = await stage.burst(*(track() for _ in range(40)))
        assert set(stage.jobs.values()) == {5}
        stage.directory.publish(EgressView((packed,)))
        second = await stage.burst(*(track() for _ in range(40)))
        assert [answer.error for answer in first + second] == [None] * 80
        placed = {
            mode: sum(
                counted(desk, "mediafleet_placements_total", fleet="rec", mode=mode, type="track")
                for desk in (one, two)
            )
            for mode in Mode
        }
        assert placed == {Mode.SPREAD: 40, Mode.PACK: 40, Mode.TYPE_AWARE: 0}
    assert len(set(stage.started)) == 80
    assert sorted(stage.jobs.values()) == [5, 5, 5, 5, 5, 17, 19, 19]


async def test_desk_and_pod_count_memory_alike_so_no_request_goes_to_a_pod_in_vain(
    stage: Scene,
) -> None:
    worker = await stage.standin("pod-0", 64.0)
    worker.admission.memory = Memory(max_gb=4.0, cost_gb=0.5)
    worker.admission.real_share = 0.0
    placement = Placement(memory=CountedMemory(max_gb=4.0, cost_gb=0.5))
    stage.directory.publish(EgressView((replace(fleet("pod-0", cpus=64.0), placement=placement),)))
    async with stage.desk() as desk:
        answers = await stage.burst(*(track() for _ in range(7)))
        codes = [answer.error.code for answer in answers if answer.error is not None]
        assert codes == [Code.RESOURCE_EXHAUSTED] * 2
        assert stage.jobs == {"pod-0": 5}
        assert counted(desk, "mediafleet_forward_attempts_total", outcome="started") == 5
        assert counted(desk, "mediafleet_forward_attempts_total", outcome="no_bid") == 0


async def test_a_type_has_no_more_jobs_on_a_pod_than_its_limit(stage: Scene) -> None:
    await stage.standin("pod-0", 64.0)
    await stage.standin("pod-1", 64.0)
    placement = Placement(mode=Mode.PACK, limits=Limits(web=1))
    pods = replace(fleet("pod-0", "pod-1", cpus=64.0), placement=placement)
    stage.directory.publish(EgressView((pods,)))
    async with stage.desk():
        answers = await stage.burst(*(web() for _ in range(3)), *(track() for _ in range(4)))
        assert [answer.error is None for answer in answers].count(False) == 1
    assert sorted(stage.jobs.values()) in ([1, 5], [2, 4], [3, 3])


class Deaf(MemoryBus):
    """A bus that loses whatever goes to some channels."""

    def __init__(self, *lost: str) -> None:
        super().__init__()
        self.lost = lost

    def publish(self, channel: str, data: bytes) -> None:
        if channel not in self.lost:
            super().publish(channel, data)


@pytest.mark.parametrize("heard", [True, False], ids=["livekit-server is silent", "it knows"])
async def test_a_short_job_whose_answer_and_end_were_lost_is_not_started_again(
    commands: redis.Redis, heard: bool
) -> None:
    bus = Deaf(UPDATES, *(() if heard else (CREATES,)))
    over = livekit.EgressInfo(
        egress_id="EG_x", status=livekit.EgressStatus.EGRESS_COMPLETE, ended_at=9
    )

    async def tell(request: Request) -> bytes:
        answer: bytes = over.SerializeToString()
        return answer

    async with scene(bus, commands) as stage, Server(bus, "IOInfo") as server:
        pod = await stage.standin("pod-0", silent=True, job_seconds=0.0)
        if not heard:
            await server.register("GetEgress", tell)
        stage.directory.publish(EgressView((fleet("pod-0"),)))
        quick = replace(QUICK, forward_seconds=0.3, least_forward_seconds=0.0)
        async with stage.desk(replace(quick, info_wait_seconds=5.0, leave_alone_seconds=0.0)):
            await stage.give_up(track("EG_x"), seconds=0.3)
            await eventually(lambda: not pod.jobs)
            answer = await stage.start(track("EG_x"))
        if heard:  # Its record was made; whether it ran or was aborted, nobody says.
            assert answer.error is not None
            assert answer.error.code is Code.UNAVAILABLE
        else:
            assert answer.error is None
            assert livekit.EgressInfo.FromString(answer.payload).egress_id == "EG_x"
    assert stage.started == ["EG_x"]

"""The egress desk: what a client, the pods and Redis see of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import redis.asyncio as redis
from livekit.protocol import egress as livekit
from tests.kit.egress.scene import (
    IMPATIENT,
    QUICK,
    Scene,
    counted,
    eventually,
    fleet,
    scene,
    track,
    web,
    with_state,
)

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Mode
from mediafleet_common.api.names import PodState
from mediafleet_common.reports.job import JobState
from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.egress.accounting.lost_jobs import Patience
from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.egress.process.explanation import whereabouts
from mediafleet_scheduler.psrpc import channels
from mediafleet_scheduler.psrpc.bus import Bus, Receiver, Subscription
from mediafleet_scheduler.psrpc.envelope import Request, decode, encode
from mediafleet_scheduler.psrpc.errors import Code, NoBidError
from mediafleet_testbed.buses import MemoryBus
from mediafleet_testbed.standins.egress_rules import Admission
from mediafleet_testbed.standins.egress_worker import Conduct, Io
from mediafleet_testbed.standins.egress_worker import Worker as Standin


@pytest.fixture
async def stage(commands: redis.Redis) -> AsyncIterator[Scene]:
    async with scene(MemoryBus(), commands) as made:
        yield made


NAMES = tuple(f"pod-{n}" for n in range(10))


@pytest.mark.parametrize("mode", [Mode.SPREAD, Mode.TYPE_AWARE])
async def test_51_tracks_at_once_are_5_or_6_on_each_of_10_pods(stage: Scene, mode: Mode) -> None:
    await stage.fleet(*NAMES, mode=mode)
    async with stage.desk() as desk:
        answers = await stage.burst(*(track() for _ in range(51)))
        assert [answer.error for answer in answers] == [None] * 51
        assert sorted(stage.jobs.values()) == [5] * 9 + [6]
        labels = {"fleet": "rec", "mode": mode.value, "type": "track"}
        assert counted(desk, "mediafleet_placements_total", **labels) == 51


async def test_pack_fills_pods_in_order_within_their_budget(stage: Scene) -> None:
    await stage.fleet(*NAMES, mode=Mode.PACK)
    async with stage.desk():
        await stage.burst(*(track() for _ in range(51)))
    assert list(stage.jobs.values())[:4] == [19, 19, 13, 0]


async def test_the_answer_is_the_pods(stage: Scene) -> None:
    await stage.fleet("pod-0")
    async with stage.desk():
        answer = await stage.start(track("EG_x"))
    info = livekit.EgressInfo.FromString(answer.payload)
    assert info.egress_id == "EG_x"
    assert info.track.track_id == "TR_1"


async def test_a_desk_tells_where_a_job_is_and_what_became_of_it(stage: Scene) -> None:
    await stage.fleet("pod-0")
    async with stage.desk() as desk:
        assert (await whereabouts([desk], "EG_x")).jobs == []
        await stage.start(track("EG_x"))
        await desk.settled()
        (job,) = (await whereabouts([desk], "EG_x")).jobs
        assert (job.state, job.pod, job.type) == (JobState.RUNNING, "pod-0", "track")
        assert job.started is not None
        assert job.started >= job.since
        assert not (await whereabouts([desk], "EG_x", lambda namespace: namespace == "b")).jobs
        desk._ledger_writer.note(desk._store.ended("EG_x"))
        await desk.settled()
        (job,) = (await whereabouts([desk], "EG_x")).jobs
        assert (job.state, job.pod) == (JobState.ENDED, "pod-0")


async def test_a_mode_changes_while_the_desk_runs(stage: Scene) -> None:
    made = await stage.fleet("pod-0", "pod-1", mode=Mode.SPREAD)
    async with stage.desk():
        await stage.burst(track(), track())
        assert stage.jobs == {"pod-0": 1, "pod-1": 1}
        packed = replace(made, placement=made.placement.model_copy(update={"mode": Mode.PACK}))
        stage.directory.publish(EgressView((packed,)))
        await stage.burst(*(track() for _ in range(4)))
        assert stage.jobs == {"pod-0": 5, "pod-1": 1}


async def test_the_pod_gets_the_same_bytes_in_a_fresh_envelope(stage: Scene) -> None:
    await stage.fleet("pod-0")
    heard: list[Request] = []
    channel = channels.request("EgressInternal", "StartEgress", ("pod-0",))
    await stage.bus.subscribe(channel, lambda data: heard.append(decode(data, Request)))
    # Field 99 stands for what a newer livekit-server may send.
    payload = track("EG_x").SerializeToString() + b"\x9a\x06\x03abc"
    async with stage.desk():
        await stage.client.request(
            "StartEgress", payload, timeout_seconds=10, metadata={"trace": "t"}
        )
    (request,) = heard
    assert request.payload == payload
    assert request.metadata == {"trace": "t"}
    assert request.client_id != stage.client.client_id
    # What the client has left: in that time the pod must have the record made.
    assert 8e9 < request.expiry_ns - request.sent_at_ns < 10e9


async def test_a_full_fleet_refuses_at_once_and_says_why(stage: Scene) -> None:
    await stage.fleet("pod-0", cpus=4.0)
    async with stage.desk() as desk:
        await stage.start(web())
        answer = await stage.start(web())
        assert answer.error is not None
        assert answer.error.code is Code.RESOURCE_EXHAUSTED
        assert "NoCapacity" in answer.error.message
        assert "web that needs 4 CPUs" in answer.error.message
        refused = {"fleet": "rec", "reason": "NoCapacity"}
        assert counted(desk, "mediafleet_rejections_total", **refused) == 1


async def test_a_refused_request_may_be_made_again_with_the_same_id(stage: Scene) -> None:
    await stage.fleet("pod-0", cpus=4.0)
    async with stage.desk():
        await stage.start(web("EG_first"))
        assert (await stage.start(web("EG_x"))).error is not None
        stage.standins["pod-0"].stop_all()
        await eventually(lambda: stage.jobs == {"pod-0": 0})
        assert (await stage.start(web("EG_x"))).error is None
    assert stage.started == ["EG_first", "EG_x"]


async def test_what_can_never_fit_is_told_apart(stage: Scene) -> None:
    await stage.fleet("pod-0", cpus=2.0)
    async with stage.desk():
        answer = await stage.start(web())
    assert answer.error is not None
    assert answer.error.code is Code.FAILED_PRECONDITION
    assert "NoTypeCapacity" in answer.error.message


async def test_a_draining_pod_gets_nothing_more(stage: Scene) -> None:
    made = await stage.fleet("pod-0", "pod-1")
    async with stage.desk():
        stage.directory.publish(EgressView((with_state(made, PodState.DRAINING, "pod-0"),)))
        await stage.burst(*(track() for _ in range(4)))
        assert stage.jobs == {"pod-0": 0, "pod-1": 4}
        stage.directory.publish(EgressView((with_state(made, PodState.DRAINING),)))
        answer = await stage.start(track())
    assert answer.error is not None
    assert answer.error.code is Code.RESOURCE_EXHAUSTED, "the client asks again"
    assert "Draining" in answer.error.message


async def test_a_type_that_no_fleet_takes_gets_no_bid(stage: Scene) -> None:
    await stage.fleet("pod-0", accepts=[RequestType.TRACK])
    async with stage.desk():
        assert (await stage.start(track())).error is None
        with pytest.raises(NoBidError):
            await stage.start(web())


async def test_a_full_fleet_falls_through_to_the_next_that_takes_the_type(stage: Scene) -> None:
    for name, cpus in (("a", 4.0), ("b", 12.0), ("c", 12.0)):
        await stage.standin(name, cpus)
    first = fleet("a", cpus=4.0, name="first")
    tracks = fleet("b", name="second", accepts=[RequestType.TRACK])
    last = fleet("c", name="third")
    stage.directory.publish(EgressView((first, tracks, last)))
    async with stage.desk():
        for _ in range(2):
            await stage.start(web())
    assert stage.jobs == {"a": 1, "b": 0, "c": 1}


async def test_a_pod_that_never_bids_costs_a_moment_and_no_job(stage: Scene) -> None:
    await stage.standin("pod-0", mute=True)
    await stage.standin("pod-1")
    stage.directory.publish(EgressView((fleet("pod-0", "pod-1"),)))
    async with stage.desk(IMPATIENT) as desk:
        answers = await stage.burst(*(track() for _ in range(6)))
        assert [answer.error for answer in answers] == [None] * 6
        assert stage.jobs == {"pod-0": 0, "pod-1": 6}
        assert counted(desk, "mediafleet_forward_attempts_total", outcome="no_bid") >= 1


async def test_when_no_pod_bids_that_is_said(stage: Scene) -> None:
    await stage.standin("pod-0", mute=True)
    stage.directory.publish(EgressView((fleet("pod-0", "not-there"),)))
    async with stage.desk(IMPATIENT) as desk:
        answer = await stage.start(track())
        assert answer.error is not None
        assert answer.error.code is Code.UNAVAILABLE
        assert "NoBid" in answer.error.message
        await eventually(lambda: not desk.ledger.jobs)


@pytest.mark.parametrize("words", ["not enough CPU", "server is shutting down"])
async def test_a_pod_that_surely_did_not_start_it_is_passed_over(stage: Scene, words: str) -> None:
    await stage.standin("pod-0", fails=words)
    await stage.standin("pod-1")
    stage.directory.publish(EgressView((fleet("pod-0", "pod-1"),)))
    async with stage.desk():
        assert (await stage.start(track())).error is None
    assert stage.jobs == {"pod-0": 0, "pod-1": 1}


async def test_any_other_error_is_the_answer_and_stands(stage: Scene) -> None:
    await stage.standin("pod-0", fails="handler failed to start")
    await stage.standin("pod-1")
    stage.directory.publish(EgressView((fleet("pod-0", "pod-1"),)))
    async with stage.desk():
        for _ in range(2):
            answer = await stage.start(track("EG_x"))
            assert answer.error is not None
            assert answer.error.message == "handler failed to start"
    assert stage.standins["pod-0"].refused == 1, "the second time nobody was asked"
    async with stage.desk():
        again = await stage.start(track("EG_x"))
    assert again.error is not None
    assert again.error.message == "handler failed to start", "also by another desk"
    assert stage.started == []


async def test_a_pod_that_starts_and_never_answers_is_found_out_and_not_doubled(
    stage: Scene,
) -> None:
    await stage.standin("pod-0", silent=True)
    await stage.standin("pod-1")
    stage.directory.publish(EgressView((fleet("pod-0", "pod-1"),)))
    async with stage.desk(replace(QUICK, forward_seconds=0.3)) as desk:
        await stage.give_up(track("EG_x"), seconds=0.3)
        await eventually(lambda: desk.ledger.jobs["EG_x"].started_at is not None)
        assert (await stage.start(track("EG_x"))).error is None
    assert stage.started == ["EG_x"]


async def test_a_retry_joins_the_try_that_runs(stage: Scene) -> None:
    await stage.standin("pod-0", start_seconds=0.2)
    stage.directory.publish(EgressView((fleet("pod-0"),)))
    async with stage.desk():
        answers = await stage.burst(*(track("EG_x") for _ in range(5)))
        later = await stage.start(track("EG_x"))
    assert {answer.payload for answer in [*answers, later]} == {answers[0].payload}
    assert stage.started == ["EG_x"]


async def test_a_job_that_ends_gives_its_place_back(stage: Scene) -> None:
    await stage.fleet("pod-0", cpus=4.0)
    async with stage.desk() as desk:
        for turn in range(3):
            assert (await stage.start(web())).error is None, f"turn {turn}"
            stage.standins["pod-0"].stop_all()
            await eventually(lambda: not stage.standins["pod-0"].jobs)
        assert counted(desk, "mediafleet_jobs_ended_total", how="heard") == 3


async def test_an_id_is_not_used_again_after_its_end(stage: Scene) -> None:
    await stage.standin("pod-0", job_seconds=0.0)
    stage.directory.publish(EgressView((fleet("pod-0"),)))
    async with stage.desk() as desk:
        await stage.start(track("EG_x"))
        await eventually(lambda: not desk.ledger.jobs)
        await desk.settled()
    async with stage.desk():
        answer = await stage.start(track("EG_x"))
    assert answer.error is None
    assert livekit.EgressInfo.FromString(answer.payload).egress_id == "EG_x"
    assert stage.started == ["EG_x"]


async def test_a_restarted_desk_remembers_what_runs(stage: Scene) -> None:
    await stage.fleet("pod-0", cpus=4.0)
    async with stage.desk():
        await stage.start(web("EG_x"))
    async with stage.desk() as desk:
        assert (await stage.start(web("EG_x"))).error is None
        assert stage.started == ["EG_x"]
        full = await stage.start(web())
        assert full.error is not None
        assert full.error.code is Code.RESOURCE_EXHAUSTED
        assert counted(desk, "mediafleet_retries_joined_total") == 1


async def test_a_restarted_desk_answers_for_what_runs_without_asking_its_pod(
    stage: Scene,
) -> None:
    await stage.fleet("pod-0")
    async with stage.desk():
        first = livekit.EgressInfo.FromString((await stage.start(track("EG_x"))).payload)
    # The pod has left; its job is known all the same.
    stage.directory.publish(EgressView((fleet("pod-1"),)))
    async with stage.desk():
        again = livekit.EgressInfo.FromString((await stage.start(track("EG_x"))).payload)
    assert (again.egress_id, again.room_name) == (first.egress_id, first.room_name)
    assert again.status == first.status
    assert again.track == first.track, "made from the retry's own request"


async def test_a_desk_that_died_between_grant_and_answer_starts_nothing_twice(
    stage: Scene,
) -> None:
    await stage.standin("pod-0", start_seconds=0.3)
    await stage.standin("pod-1")
    stage.directory.publish(EgressView((fleet("pod-0", "pod-1"),)))
    async with stage.desk(replace(QUICK, close_seconds=0.0)) as first:
        call = asyncio.create_task(stage.start(track("EG_x"), seconds=1.0))
        await eventually(lambda: stage.standins["pod-0"].log().count("EG_x"))
        assert first.ledger.jobs["EG_x"].started_at is None
    async with stage.desk() as second:
        assert "EG_x" in second.ledger.jobs
        answer = await stage.start(track("EG_x"))
        assert answer.error is None
        assert second.ledger.jobs["EG_x"].started_at is not None
        await eventually(lambda: stage.started == ["EG_x"])
    await asyncio.gather(call, return_exceptions=True)


async def test_a_claim_of_a_dead_desk_that_never_reached_its_pod_is_taken_up(
    stage: Scene,
) -> None:
    await stage.standin("pod-0", mute=True)
    await stage.standin("pod-1")
    stage.directory.publish(EgressView((fleet("pod-0", "pod-1"),)))
    patient = replace(QUICK, close_seconds=0.0, bid_wait_seconds=5.0)
    async with stage.desk(patient) as first:
        call = asyncio.create_task(stage.start(track("EG_x"), seconds=1.0))
        await eventually(lambda: "EG_x" in first.ledger.jobs)
    # As if the grant could not be on its way any more, and the pod had answered a listing.
    stage.standins["pod-0"].admission.cpus = 12.0
    async with stage.desk(replace(IMPATIENT, forward_seconds=0.0)) as second:
        answer = await stage.start(track("EG_x"), seconds=3.0)
        assert answer.error is not None
        assert "Undecided" in answer.error.message, "a silent pod proves nothing"
        assert second.ledger.jobs["EG_x"].worker == "pod-0"
    assert stage.started == []
    await asyncio.gather(call, return_exceptions=True)


async def test_a_job_whose_pod_died_before_it_answered_goes_to_another(stage: Scene) -> None:
    await stage.standin("pod-0", mute=True)
    await stage.standin("pod-1")
    stage.directory.publish(EgressView((fleet("pod-0", "pod-1"),)))
    patient = replace(QUICK, close_seconds=0.0, bid_wait_seconds=5.0)
    async with stage.desk(patient) as first:
        call = asyncio.create_task(stage.start(track("EG_x"), seconds=1.0))
        await eventually(lambda: "EG_x" in first.ledger.jobs)
    stage.directory.publish(EgressView((fleet("pod-1"),)))
    async with stage.desk(IMPATIENT):
        early = await stage.start(track("EG_x"), seconds=0.5)
        assert early.error is not None
        assert "Undecided" in early.error.message, "a grant may be on its way"
    soon = replace(IMPATIENT, forward_seconds=0.2, grant_margin_seconds=0.0)
    async with stage.desk(soon):
        assert (await stage.start(track("EG_x"))).error is None
    assert stage.jobs == {"pod-0": 0, "pod-1": 1}
    await asyncio.gather(call, return_exceptions=True)


class Deafened:
    """A bus on which a desk hears requests only until it is told not to."""

    def __init__(self, inner: Bus) -> None:
        self._inner = inner
        self.hears = True

    def publish(self, channel: str, data: bytes) -> None:
        self._inner.publish(channel, data)

    async def subscribe(self, channel: str, receive: Receiver) -> Subscription:
        def heard(data: bytes) -> None:
            if self.hears or channel != channels.request("EgressInternal", "StartEgress"):
                receive(data)

        return await self._inner.subscribe(channel, heard)


async def test_a_claim_that_another_desk_took_over_is_moved_nowhere(stage: Scene) -> None:
    """The first desk waits for a bid that does not come; meanwhile the job is started there."""
    stage.directory.publish(EgressView((fleet("pod-0", "pod-1"),)))
    waits = replace(QUICK, bid_wait_seconds=1.0, patient_bid_wait_seconds=1.0)
    ear = Deafened(stage.bus)
    async with stage.desk(waits, ear) as first:
        call = asyncio.create_task(stage.start(track("EG_x")))
        await eventually(lambda: "EG_x" in first.ledger.jobs)
        ear.hears = False
        for name in ("pod-0", "pod-1"):
            await stage.standin(name)
        async with stage.desk():
            assert (await stage.start(track("EG_x"))).error is None
            assert (await call).error is None
    assert stage.started == ["EG_x"]


async def test_nothing_is_handed_over_under_a_claim_that_is_too_old(stage: Scene) -> None:
    """As by a desk that was paused between its claim and its word to the pod."""
    await stage.fleet("pod-0")
    heard: list[bytes] = []
    channel = channels.request("EgressInternal", "StartEgress", ("pod-0",))
    await stage.bus.subscribe(channel, heard.append)
    async with stage.desk(replace(QUICK, forward_seconds=0.0)):
        answer = await stage.start(track("EG_x"), seconds=1.0)
    assert answer.error is not None
    assert "Undecided" in answer.error.message
    assert heard == []


async def test_two_desks_share_the_work_and_never_a_place(stage: Scene) -> None:
    await stage.fleet(*NAMES, cpus=12.0)
    async with stage.desk() as one, stage.desk() as two:
        answers = await stage.burst(*(track() for _ in range(100)))
        assert [answer.error for answer in answers] == [None] * 100
        assert len(set(stage.started)) == len(stage.started) == 100
        assert set(stage.jobs.values()) == {10}
        placed = [
            counted(desk, "mediafleet_placement_seconds_count", fleet="rec") for desk in (one, two)
        ]
        assert sum(placed) == 100


async def test_a_request_at_one_desk_is_known_at_the_other(stage: Scene) -> None:
    await stage.fleet("pod-0")
    async with stage.desk():
        await stage.start(track("EG_x"))
    async with stage.desk() as one:
        for _ in range(3):
            await stage.start(track("EG_x"))
        assert "EG_x" in one.ledger.jobs
    assert stage.started == ["EG_x"]


async def test_a_missed_end_is_found_by_asking_the_pods(stage: Scene) -> None:
    await stage.fleet("pod-0", cpus=4.0)
    async with stage.desk() as desk:
        await stage.start(web("EG_x"))
        pod = stage.standins["pod-0"]
        pod.jobs.clear()
        pod.admission.ended("EG_x")
        await desk.sweeper.ask_pods()
        assert "EG_x" in desk.ledger.jobs, "it may have been missing from a listing under way"
        job = desk.ledger.jobs["EG_x"]
        desk.ledger.put(job._replace(started_at=job.claimed_at - 60))
        await desk.sweeper.ask_pods()
        await desk.settled()
        assert "EG_x" not in desk.ledger.jobs
        assert counted(desk, "mediafleet_jobs_ended_total", how="missed") == 1
        assert (await stage.start(web())).error is None


async def test_who_asks_for_a_claim_that_was_given_up_does_not_hear_that_it_was_started(
    stage: Scene,
) -> None:
    await stage.fleet("pod-0", cpus=4.0)
    at_once = replace(QUICK, patience=Patience(unconfirmed_seconds=0.0))
    async with stage.desk(at_once) as desk:
        await stage.start(web("EG_y"))
        claimed = desk.ledger.jobs["EG_y"]._replace(
            egress_id="EG_x",
            token="of a desk that died",
            claimed_at=time.time() - 1,
            started_at=None,
            server_id=None,
        )
        await desk._store.claim([(claimed, "")])
        await desk.sweeper.ask_pods()
        await desk.settled()
        assert counted(desk, "mediafleet_jobs_ended_total", how="unconfirmed") == 1
        answer = await stage.start(web("EG_x"))
        assert answer.error is not None
        assert answer.error.code is Code.ABORTED
        assert "EG_x" not in desk.ledger.jobs
    assert stage.started == ["EG_y"]


async def test_jobs_of_a_pod_that_started_anew_are_lost_and_their_place_is_free(
    stage: Scene,
) -> None:
    at_once = replace(
        QUICK, patience=Patience(young_seconds=0.0, suspect_seconds=0.0, gone_seconds=0.0)
    )
    async with AsyncExitStack() as stack:
        bus = stage.bus
        conduct = Conduct(start_seconds=0.0, io=Io.PUBLISH)
        first = await stack.enter_async_context(Standin(bus, "pod-0", Admission(4.0), conduct))
        stage.directory.publish(EgressView((fleet("pod-0", cpus=4.0),)))
        async with stage.desk(at_once) as desk:
            await stage.start(web("EG_x"))
            assert first.started == ["EG_x"]
            await stack.aclose()
            await stage.standin("pod-0", 4.0)
            for _ in range(2):
                await desk.sweeper.ask_pods()
            await desk.losses.done()
            assert "EG_x" not in desk.ledger.jobs
            assert counted(desk, "mediafleet_jobs_ended_total", how="lost") == 1
            assert (await stage.start(web())).error is None


async def test_a_wiped_redis_is_filled_again_from_memory(stage: Scene) -> None:
    await stage.fleet("pod-0", cpus=4.0)
    async with stage.desk():
        await stage.start(web("EG_x"))
        await stage.commands.flushall()
        full = await stage.start(web())
        assert full.error is not None
        assert full.error.code is Code.RESOURCE_EXHAUSTED
    async with stage.desk() as second:
        assert set(second.ledger.jobs) == {"EG_x"}


async def test_what_only_one_desk_remembers_of_a_wiped_redis_comes_back(stage: Scene) -> None:
    await stage.fleet("pod-0", "pod-1")
    async with stage.desk() as one, stage.desk() as two:
        await stage.start(track("EG_x"))
        knows, other = (one, two) if "EG_x" in one.ledger.jobs else (two, one)
        assert "EG_x" not in other.ledger.jobs
        await stage.commands.flushall()
        await other.sweeper.sync()
        await stage.start(track("EG_y"))
        for desk in (knows, other):
            await desk.sweeper.sync()
            assert set(desk.ledger.jobs) == {"EG_x", "EG_y"}
    async with stage.desk():
        assert (await stage.start(track("EG_x"))).error is None
    assert sorted(stage.started) == ["EG_x", "EG_y"]


async def test_nothing_of_a_request_is_kept_in_redis(stage: Scene) -> None:
    await stage.fleet("pod-0")
    s3 = livekit.S3Upload(access_key="AKIA", secret="canary-s3", bucket="b")
    request = track("EG_x", file=livekit.DirectFileOutput(filepath="f", s3=s3))
    request.token = "canary-token"
    async with stage.desk() as desk:
        await stage.start(request)
        await desk.settled()
        kept = await everything_in(stage.commands)
        assert "EG_x" in kept
        assert "canary" not in kept
        assert "AKIA" not in kept
        stage.standins["pod-0"].stop_all()
        await eventually(lambda: not desk.ledger.jobs)
        await desk.settled()
        assert "canary" not in await everything_in(stage.commands)


async def test_a_stream_key_in_a_pods_refusal_is_told_to_the_client_and_to_nobody_else(
    stage: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.standin("pod-0", fails="invalid url rtmp://h/canary: no such host")
    stage.directory.publish(EgressView((fleet("pod-0"),)))
    async with stage.desk() as desk:
        first = await stage.start(track("EG_x"))
        assert first.error is not None
        assert "canary" in first.error.message, "whoever sent it may see it"
        await desk.settled()
        assert "EG_x" in await everything_in(stage.commands)
        assert "canary" not in await everything_in(stage.commands)
        assert "invalid url rtmp://…" in caplog.text
        assert "canary" not in caplog.text
    async with stage.desk():
        again = await stage.start(track("EG_x"))
        assert again.error is not None
        assert "invalid url rtmp://…" in again.error.message, "a desk that reads it has no more"


async def everything_in(client: redis.Redis) -> str:
    """All that our keys hold, as text; also that each goes away by itself or is a ledger."""
    parts: list[str] = []
    for key in await client.keys("mediafleet:*"):
        kind = await client.type(key)
        if kind == "string":
            parts.append(str(await client.get(key)))
            assert 0 < await client.ttl(key) <= 120
        elif kind == "hash":
            parts.append(str(await client.hgetall(key)))
        elif kind == "stream":
            parts.append(str(await client.xrange(key)))
    return "\n".join([*parts, str(await client.keys("*"))])


GARBAGE = [
    b"",
    b"\xff" * 40,
    b"x" * 3_000_000,
    encode(Request("REQ_1", "CLI_1", 0, 2**62, b"\xff\xff")),
    encode(
        Request("REQ_2", "CLI_1", 0, 2**62, StartEgressRequest(egress_id="E").SerializeToString())
    ),
]


async def test_garbage_on_every_channel_is_counted_and_harms_nothing(stage: Scene) -> None:
    await stage.fleet("pod-0")
    async with stage.desk() as desk:
        for channel in (
            channels.request("EgressInternal", "StartEgress"),
            channels.grant("EgressInternal", "StartEgress"),
            channels.request("IOInfo", "UpdateEgress"),
            channels.request("IOInfo", "CreateEgress"),
        ):
            for data in GARBAGE:
                stage.bus.publish(channel, data)
        assert (await stage.start(track())).error is None
        for reason in ("not_protobuf", "too_large", "not_a_start_egress", "unknown_request_type"):
            assert counted(desk, "mediafleet_psrpc_bad_messages_total", reason=reason) >= 1, reason


async def test_a_worker_that_comes_or_goes_counts_at_once(stage: Scene) -> None:
    await stage.fleet("pod-0", cpus=4.0)
    await stage.standin("pod-1", 4.0)
    async with stage.desk():
        await stage.start(web())
        assert (await stage.start(web())).error is not None
        stage.directory.publish(EgressView((fleet("pod-0", "pod-1", cpus=4.0),)))
        assert (await stage.start(web())).error is None
        assert stage.jobs == {"pod-0": 1, "pod-1": 1}

"""The stand-in egress worker does what livekit/egress does: a lenient one would prove nothing.

What is asked of it here are facts of the sources that its files name.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from livekit.protocol import egress as livekit
from tests.kit.egress.standin_stage import IN_VAIN, TOPIC, Stage, settled, stage_of, track, web

from mediafleet_common.wire.egress_pb2 import ListActiveEgressResponse
from mediafleet_scheduler.psrpc import channels
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.envelope import Grant, encode
from mediafleet_scheduler.psrpc.errors import Code, NoAnswerError, NoBidError
from mediafleet_testbed.buses import MemoryBus
from mediafleet_testbed.standins import egress, egress_metrics
from mediafleet_testbed.standins.egress_rules import HOLD_SECONDS, Admission, Memory
from mediafleet_testbed.standins.egress_worker import Conduct, Io, Worker


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with stage_of() as made:
        yield made


async def test_an_idle_worker_bids_half_a_busy_one_the_most(stage: Stage) -> None:
    async with stage.worker():
        assert await stage.affinity(track("EG_2")) == 0.5
        await stage.start(track())
        assert await stage.affinity(track("EG_2")) == 1.0


async def test_a_full_worker_does_not_bid(stage: Stage) -> None:
    async with stage.worker(cpus=4.0):
        assert await stage.affinity(web("EG_2")) == 0.5, "an idle one may be filled wholly"
        await stage.start(web())
        assert await stage.affinity(track("EG_2")) is None


async def test_it_stands_on_its_own_topic_or_like_a_stock_one_on_the_empty(stage: Stage) -> None:
    async with stage.worker():
        with pytest.raises(NoBidError):
            await stage.start(track(), (), IN_VAIN)
    async with stage.worker(upstream=True):
        assert (await stage.start(track(), ())).error is None


async def test_it_admits_once_more_at_the_start(stage: Stage) -> None:
    async with stage.worker(cpus=1.0) as worker:
        first, second = await asyncio.gather(
            stage.start(track("EG_1", estimated_cpu=0.9)),
            stage.start(track("EG_2", estimated_cpu=0.9)),
        )
        errors = [answer.error for answer in (first, second)]
        assert errors.count(None) == 1
        (refused,) = [error for error in errors if error]
        assert (refused.code, refused.message) == (Code.UNAVAILABLE, "not enough CPU")
        assert len(worker.started) == 1


async def test_the_same_id_is_refused(stage: Stage) -> None:
    async with stage.worker():
        await stage.start(track())
        again = await stage.start(track())
    assert again.error is not None
    assert again.error.code is Code.ALREADY_EXISTS


async def test_it_answers_when_livekit_server_has_noted_the_job(stage: Stage) -> None:
    stage.server.answers.clear()
    async with stage.worker():
        call = asyncio.create_task(stage.start(track()))
        await settled()
        assert [method for method, _ in stage.server.heard] == ["CreateEgress"]
        assert not call.done()
        stage.server.answers.set()
        info = livekit.EgressInfo.FromString((await call).payload)
    assert info.egress_id == "EG_1"
    assert info.status == livekit.EgressStatus.EGRESS_STARTING


async def test_livekit_server_hears_of_each_step_and_the_end_frees_the_place(stage: Stage) -> None:
    async with stage.worker(cpus=4.0) as worker:
        await stage.start(web())
        await settled()
        assert stage.server.statuses("EG_1") == ["EGRESS_STARTING", "EGRESS_ACTIVE"]
        worker.stop_all()
        await worker.drained()
        await settled()
        assert stage.server.statuses("EG_1")[-1] == "EGRESS_COMPLETE"
        assert await stage.affinity(web("EG_2")) == 0.5


async def test_a_start_fails_without_livekit_server() -> None:
    bus = MemoryBus()
    async with (
        Client(bus, "EgressInternal") as client,
        Worker(bus, "pod-0", Admission(4.0), Conduct(start_seconds=0.0)) as worker,
    ):
        with pytest.raises(NoAnswerError):
            await client.request(
                "StartEgress", track().SerializeToString(), TOPIC, timeout_seconds=0.1
            )
        await worker.drained()
        assert (worker.aborted, worker.started) == (["EG_1"], [])
    async with (
        Client(bus, "EgressInternal") as client,
        Worker(bus, "pod-0", Admission(4.0), Conduct(start_seconds=0.0, io=Io.PUBLISH)),
    ):
        answer = await client.request(
            "StartEgress", track().SerializeToString(), TOPIC, timeout_seconds=5
        )
        assert answer.error is None, "unless it is told not to care"


async def test_a_handler_that_cannot_be_launched_is_told_to_livekit_server(stage: Stage) -> None:
    async with stage.worker(fails="handler failed to start"):
        answer = await stage.start(track())
        await settled()
    assert answer.error is not None
    assert answer.error.code is Code.INTERNAL
    assert stage.server.statuses("EG_1") == ["EGRESS_FAILED"]


async def test_active_ids_are_listed_on_the_empty_topic_by_every_worker(stage: Stage) -> None:
    async with stage.worker(cpus=8.0) as worker:
        await stage.start(track("EG_1"))
        await stage.start(track("EG_2"))
        answers = await stage.client.request_all(
            "ListActiveEgress", b"", timeout_seconds=1, expected=1
        )
        (listed,) = [ListActiveEgressResponse.FromString(a.payload) for a in answers]
        assert sorted(listed.egress_ids) == ["EG_1", "EG_2"]
        assert sorted(worker.started) == ["EG_1", "EG_2"]


async def test_a_job_is_stopped_on_its_own_topic(stage: Stage) -> None:
    async with stage.worker() as worker, Client(stage.bus, "EgressHandler") as handler:
        await stage.start(track())
        stop = livekit.StopEgressRequest(egress_id="EG_1").SerializeToString()
        answer = await handler.request("StopEgress", stop, ("EG_1",), timeout_seconds=5)
        info = livekit.EgressInfo.FromString(answer.payload)
        assert info.status == livekit.EgressStatus.EGRESS_ENDING
        await worker.drained()
        assert worker.idle


async def test_a_worker_that_leaves_bids_no_more_and_waits_for_its_jobs(stage: Stage) -> None:
    async with stage.worker() as worker:
        await stage.start(track())
        await worker.stop_taking()
        assert await stage.affinity(track("EG_2")) is None
        assert not worker.idle
        waiting = asyncio.create_task(worker.drained())
        await settled()
        assert not waiting.done()
        worker.stop_all()
        await waiting


async def test_a_grant_after_sigterm_is_dropped_in_silence(stage: Stage) -> None:
    async with stage.worker() as worker:
        bid = await stage.bid(track())
        assert bid is not None
        await worker.stop_taking()
        grant = encode(Grant("REQ_x", bid.server_id))
        stage.bus.publish(channels.grant("EgressInternal", "StartEgress", TOPIC), grant)
        await settled()
        assert worker.started == []


async def test_without_an_answer_to_an_update_no_job_is_taken(stage: Stage) -> None:
    async with stage.worker(cpus=8.0) as worker:
        await stage.start(track())
        await settled()
        worker.io.healthy = False
        assert await stage.affinity(track("EG_2")) is None
        assert "livekit_egress_is_disabled" in egress_metrics.exposition(worker)


def test_a_busy_worker_takes_up_to_its_share() -> None:
    admission = Admission(10.0)
    admission.started(web("EG_1"), 0.0)
    assert admission.can_accept(web("EG_2"), 0.0), "8 - 4 = 4"
    admission.started(web("EG_2"), 0.0)
    assert not admission.can_accept(track("EG_3"), 0.0)


def test_a_job_counts_with_its_cost_for_15_seconds_then_with_what_it_uses() -> None:
    admission = Admission(10.0, real_share=0.5)
    admission.started(web("EG_1"), 0.0)
    admission.started(web("EG_2"), 0.0)
    assert not admission.can_accept(track("EG_3"), HOLD_SECONDS - 0.1)
    assert admission.can_accept(web("EG_3"), HOLD_SECONDS)


def test_an_ended_job_counts_no_more_at_once() -> None:
    admission = Admission(4.0)
    admission.started(web("EG_1"), 0.0)
    admission.ended("EG_1")
    assert admission.can_accept(web("EG_2"), 1.0)


def test_an_estimate_counts_at_admission_only() -> None:
    admission = Admission(10.0)
    assert not admission.can_accept(track(estimated_cpu=10.5), 0.0)
    admission.started(web("EG_1", estimated_cpu=0.1), 0.0)
    assert admission.used(0.0) == 4.0, "the hold is the configured cost"


def test_pulseaudio_clients_limit_browsers_and_nothing_else() -> None:
    admission = Admission(1000.0)
    for number in range(10):
        assert admission.can_accept(web("EG_x"), 0.0), "1 of its own, 2 a page, 4 held, 4 more"
        admission.started(web(f"EG_{number}"), 0.0)
    assert not admission.can_accept(web("EG_x"), 0.0)
    assert admission.can_accept(track("EG_x"), 0.0)
    assert admission.can_accept(web("EG_x"), HOLD_SECONDS), "1 + 10 x 2 + 4"


def test_memory_counts_with_what_is_used_what_is_new_and_a_gigabyte_to_spare() -> None:
    admission = Admission(1000.0, memory=Memory(max_gb=4.0, cost_gb=1.0), real_share=0.25)
    admission.started(track("EG_1"), 0.0)
    assert admission.can_accept(track("EG_x"), 0.0), "0.25 used, 1 held, 1 more, 1 to spare"
    admission.started(track("EG_2"), 0.0)
    assert not admission.can_accept(track("EG_x"), 0.0)
    admission.ended("EG_2")
    assert not admission.can_accept(track("EG_x"), 14.9), "it is held past its end"
    assert admission.can_accept(track("EG_x"), 15.0)


def test_it_reads_the_config_file_of_the_real_one(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        """
redis: {address: "redis:6379", username: u, password: p, db: 3}
cluster_id: media.rec-0.1a2b3c4d
prometheus_port: 9091
health_port: 9092
cpu_cost: {max_cpu_utilization: 0.5, track_cpu_cost: 0.25, max_memory: 8, memory_cost: 0.5}
"""
    )
    monkeypatch.setenv("EGRESS_CONFIG_FILE", str(config))
    settings = egress._settings(["--cpus", "8"])
    assert settings.redis_url == "redis://u:p@redis:6379/3"
    assert settings.cluster_id == "media.rec-0.1a2b3c4d"
    assert (settings.metrics, settings.health) == (":9091", ":9092")
    assert settings.admission.cpus == 8.0
    assert settings.admission.max_cpu_utilization == 0.5
    assert settings.admission.costs["track"] == 0.25
    assert settings.admission.costs["web"] == 4.0
    assert settings.admission.memory == Memory(8, 0.5)
    assert settings.conduct.io is Io.SERVER

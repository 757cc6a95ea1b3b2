"""The stand-in tells livekit-server as livekit/egress does: when, how long, in which order.

Facts seen on livekit/egress 1.14.1; its pkg/info/io.go and pkg/server/server_rpc.go say the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from livekit.protocol import egress as livekit
from tests.kit.egress.standin_stage import Stage, settled, stage_of, track, web
from tests.kit.egress.virtual import on_loop_time

from mediafleet_common.wire.egress_pb2 import ListActiveEgressResponse
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.errors import Code, NoAnswerError

pytestmark = pytest.mark.looptime(idle_timeout=None)


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    on_loop_time(monkeypatch)
    async with stage_of() as made:
        yield made


def now() -> float:
    return asyncio.get_running_loop().time()


async def listed(stage: Stage) -> list[str]:
    answers = await stage.client.request_all("ListActiveEgress", b"", timeout_seconds=1, expected=1)
    return list(ListActiveEgressResponse.FromString(answers[0].payload).egress_ids)


async def test_a_record_is_made_within_15_seconds_and_what_the_request_has_left(
    stage: Stage,
) -> None:
    stage.server.frozen = True
    async with stage.worker() as worker:
        began = now()
        with pytest.raises(NoAnswerError):
            await stage.start(track("EG_1"), seconds=10.0)
        await worker.drained()
        assert now() - began == pytest.approx(10.0, abs=0.1)
        began = now()
        answer = await stage.start(track("EG_2"), seconds=60.0)
        assert now() - began == pytest.approx(15.0, abs=0.1)
        assert answer.error is not None
        assert answer.error.code is Code.UNAVAILABLE
        assert worker.aborted == ["EG_1", "EG_2"]
        assert worker.started == []


async def test_a_handler_is_listed_before_its_record_is_made_and_until_it_is_gone(
    stage: Stage,
) -> None:
    stage.server.frozen = True
    async with stage.worker(abort_seconds=2.0) as worker:
        call = asyncio.create_task(stage.start(track(), seconds=20.0))
        await asyncio.sleep(1.0)
        assert await listed(stage) == ["EG_1"]
        assert (await call).error is not None
        assert await listed(stage) == ["EG_1"], "its handler is being aborted"
        await worker.drained()
        assert await listed(stage) == []


async def test_a_record_that_was_not_made_frees_the_id_and_is_told_as_failed(stage: Stage) -> None:
    stage.server.frozen = True
    async with stage.worker() as worker:
        assert (await stage.start(track(), seconds=20.0)).error is not None
        stage.server.frozen = False
        await asyncio.sleep(60.0)
        assert stage.server.statuses("EG_1") == ["EGRESS_FAILED"]
        assert not worker.disabled, "that is no internal error of a handler"
        assert (await stage.start(track())).error is None


async def test_or_nothing_is_told_of_it_as_newer_builds_do(stage: Stage) -> None:
    stage.server.frozen = True
    async with stage.worker(abort_tells=False) as worker:
        assert (await stage.start(track(), seconds=20.0)).error is not None
        stage.server.frozen = False
        await asyncio.sleep(60.0)
        assert stage.server.heard == []
        assert worker.idle


async def test_an_update_is_tried_for_30_seconds_and_then_again(stage: Stage) -> None:
    async with stage.worker() as worker:
        await stage.start(track())
        await asyncio.sleep(1.0)
        stage.server.frozen = True
        worker.stop_all()
        await asyncio.sleep(29.0)
        assert worker.idle
        assert await stage.affinity(track("EG_2")) == 0.5, "it takes jobs while it waits"
        await asyncio.sleep(1.2)
        assert await stage.affinity(track("EG_2")) is None
        assert worker.io.outstanding == {"EG_1"}
        stage.server.frozen = False
        await asyncio.sleep(60.0)
        assert stage.server.statuses("EG_1")[-1] == "EGRESS_COMPLETE"
        assert await stage.affinity(track("EG_2")) == 0.5


async def test_updates_arrive_in_order_and_the_newest_replaces_one_that_waits(stage: Stage) -> None:
    async with stage.worker() as worker:
        stage.server.answers.clear()
        call = asyncio.create_task(stage.start(track()))
        await asyncio.sleep(1.0)
        worker.stop_all()
        await asyncio.sleep(1.0)
        assert stage.server.statuses("EG_1") == ["EGRESS_STARTING"], "its record is not made yet"
        stage.server.answers.set()
        await call
        await asyncio.sleep(1.0)
        assert stage.server.statuses("EG_1") == ["EGRESS_STARTING", "EGRESS_COMPLETE"]


async def test_an_internal_error_of_a_handler_disables_the_worker(stage: Stage) -> None:
    async with stage.worker(cpus=64.0, chrome_fails="chrome did not start") as worker:
        await stage.start(track("EG_1"))
        assert await stage.affinity(track("EG_3")) == 1.0
        assert (await stage.start(web("EG_2"))).error is None
        await settled()
        info = next(info for _, info in reversed(stage.server.heard) if info.egress_id == "EG_2")
        assert (info.status, info.error_code) == (livekit.EgressStatus.EGRESS_FAILED, 500)
        assert (worker.disabled, worker.terminating, worker.idle) == (True, False, False)
        assert await stage.affinity(track("EG_3")) is None
        assert worker.shut_down.is_set(), "it exits once it is idle"


async def test_a_job_that_is_stopped_before_it_is_active_ends_aborted(stage: Stage) -> None:
    async with stage.worker(active_seconds=2.0) as worker, Client(stage.bus, "EgressHandler") as io:
        await stage.start(track())
        await asyncio.sleep(1.0)
        assert stage.server.statuses("EG_1") == ["EGRESS_STARTING"]
        stop = livekit.StopEgressRequest(egress_id="EG_1").SerializeToString()
        await io.request("StopEgress", stop, ("EG_1",), timeout_seconds=5)
        await worker.drained()
        await settled()
        assert stage.server.statuses("EG_1") == ["EGRESS_STARTING", "EGRESS_ABORTED"]
        assert stage.server.heard[-1][1].error_code == 412


async def test_a_start_time_is_stamped_before_anything_runs(stage: Stage) -> None:
    async with stage.worker(active_seconds=2.0):
        answer = await stage.start(track())
        info = livekit.EgressInfo.FromString(answer.payload)
        assert info.status == livekit.EgressStatus.EGRESS_STARTING
        assert info.started_at > 0

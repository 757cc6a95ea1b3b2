"""Costs learnt end to end on a virtual clock: users, a desk, workers, and what these tell of load.

Only the HTTP between the desk and the workers' metrics is left out; their text is read as it is.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

import pytest
from tests.kit.egress.scene import Scene, of_kind, scene
from tests.kit.egress.virtual import (
    Records,
    desks,
    livekit_server,
    memory_redis,
    on_loop_time,
)

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import LearnedCosts, Placement, Use
from mediafleet_common.api.names import PodState
from mediafleet_common.probes import http_client
from mediafleet_common.probes.load import Load, Source, parse
from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.egress.views import EgressView, Fleet, Worker
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.places.costs import FIT_EVERY_SECONDS
from mediafleet_testbed.buses import MemoryBus
from mediafleet_testbed.standins.egress_metrics import exposition
from mediafleet_testbed.standins.egress_worker import Worker as Standin

JOBS: Final = 200
CPUS: Final = 16.0
PODS: Final = tuple(f"pod-{number}" for number in range(6))
KINDS: Final = (
    RequestType.TRACK,
    RequestType.WEB,
    RequestType.PARTICIPANT,
    RequestType.ROOM_COMPOSITE,
)
REAL_SHARE: Final = 0.6
"""What jobs really use of their configured cost, in the mean."""
JOB_SECONDS: Final = (60.0, 600.0)
EVERY_SECONDS: Final = 15.0
FULL_SECONDS: Final = 1800.0
SEED: Final = 3
pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(180)]


def learning_fleet() -> Fleet:
    """Six pods that tell their load."""
    workers = tuple(
        Worker(name, name, name, f"http://{name}/metrics", CPUS, None, PodState.READY)
        for name in PODS
    )
    placement = Placement(learned_costs=LearnedCosts(use=Use.APPLY))
    return Fleet("", "rec", placement, frozenset(RequestType), None, workers)


async def start(stage: Scene, wanted: StartEgressRequest) -> None:
    """Start a recording; on a full fleet it is asked for again and again."""
    async with asyncio.timeout(FULL_SECONDS):
        while await stage.call(wanted) is not None:  # noqa: ASYNC110 as a user does
            await asyncio.sleep(EVERY_SECONDS)


async def record(stage: Scene, kind: RequestType, number: int, seconds: float) -> None:
    """One recording, from StartEgress to its end."""
    wanted = of_kind(kind, f"EG_{number}")
    await start(stage, wanted)
    await asyncio.sleep(seconds)
    for worker in stage.standins.values():
        if job := worker.jobs.get(wanted.egress_id):
            job.stopped.set()


async def record_all(stage: Scene, chance: random.Random, varies: float) -> None:
    """So many recordings of all kinds, each of which needs more or less than others of its kind."""
    async with asyncio.TaskGroup() as tasks:
        for number in range(JOBS):
            for worker in stage.standins.values():
                worker.admission.real_share = REAL_SHARE + chance.uniform(-varies, varies)
            seconds = chance.uniform(*JOB_SECONDS)
            tasks.create_task(record(stage, chance.choice(KINDS), number, seconds))
            await asyncio.sleep(EVERY_SECONDS)


def told_by(standins: dict[str, Standin], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have metrics asked for by URL come from these workers."""

    async def poll(session: object, url: str, source: Source, timeout_seconds: float) -> Load:
        del session, timeout_seconds
        return parse(exposition(standins[url.split("/")[2]]), source)

    monkeypatch.setattr(http_client, "poll", poll)


@pytest.mark.parametrize(
    ("varies", "sure"),
    [(0.0, set(KINDS)), (0.06, {RequestType.WEB, RequestType.ROOM_COMPOSITE})],
    ids=["all-alike", "a-tenth-more-or-less"],
)
async def test_after_200_jobs_a_desk_knows_what_they_really_need_and_says_so_to_pods(
    monkeypatch: pytest.MonkeyPatch, varies: float, sure: set[RequestType]
) -> None:
    on_loop_time(monkeypatch)
    bus, of = MemoryBus(), learning_fleet()
    async with scene(bus, memory_redis()) as stage, livekit_server(bus, Records()):
        told_by(stage.standins, monkeypatch)
        for name in PODS:
            await stage.standin(name, CPUS)
        stage.directory.publish(EgressView((of,)))
        async with desks(stage, Settings(), count=1) as one:
            await record_all(stage, random.Random(SEED), varies)
            await asyncio.sleep(2 * FIT_EVERY_SECONDS)
            (desk,) = one.services
            costs = {cost.type: cost for cost in next(iter(desk.pods.costs.reported([of]))).types}
            assert len(stage.started) == len(set(stage.started)) == JOBS
            assert set(costs) == set(KINDS)
            for kind, cost in costs.items():
                assert cost.sure or kind not in sure, f"{kind}: {cost}"
                if cost.sure:
                    true = cost.configured * REAL_SHARE
                    assert cost.learned == pytest.approx(true, rel=0.15), kind
            await fill_with_pages(stage)


async def fill_with_pages(stage: Scene) -> None:
    """By the table a fifth page does not fit a pod beside what four really use."""
    for worker in stage.standins.values():
        worker.admission.real_share = REAL_SHARE
    pages = (of_kind(RequestType.WEB, f"page-{number}") for number in range(5 * len(PODS)))
    await asyncio.gather(*(start(stage, page) for page in pages))
    assert set(stage.jobs.values()) == {5}

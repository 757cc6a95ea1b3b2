"""Waiting for room: who waits, who is next, and what both desks know of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest
import redis.asyncio as redis
from tests.kit.egress.scene import (
    IMPATIENT,
    QUICK,
    Scene,
    eventually,
    fleet,
    scene,
    web,
    with_state,
)

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.names import PodState
from mediafleet_common.clock import Clock
from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.accounting.lost_jobs import Patience
from mediafleet_scheduler.core.egress.queue import QueueRule, Waiting, of_fleet
from mediafleet_scheduler.core.egress.views import EgressView, Fleet
from mediafleet_scheduler.egress.ledger.store import Store
from mediafleet_scheduler.egress.peers.forwarding import SERVICE, START_EGRESS
from mediafleet_scheduler.egress.process.branch import EgressService
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.errors import Code
from mediafleet_testbed.buses import Faults, FaultyBus, MemoryBus


@pytest.fixture
async def stage(commands: redis.Redis) -> AsyncIterator[Scene]:
    async with scene(MemoryBus(), commands) as made:
        yield made


PATIENT = QueueRule(max_wait_seconds=8.0, max_length=100)
SHORT = QueueRule(max_wait_seconds=0.3, max_length=100)
NOW_AND_THEN = replace(QUICK, queue_look_seconds=0.01)


def in_room(room: str, egress_id: str | None = None) -> StartEgressRequest:
    request = web(egress_id)
    request.room_name = room
    return request


async def full(stage: Scene, queue: QueueRule, *names: str) -> Fleet:
    """A fleet whose pods take one web page each; the first one is ready."""
    for name in names:
        await stage.standin(name, 4.0)
    made = replace(fleet(*names, cpus=4.0), queue=queue)
    ready(stage, made, names[0])
    return made


def ready(stage: Scene, made: Fleet, *names: str) -> None:
    """These pods are ready and no others."""
    others = [worker.name for worker in made.workers if worker.name not in names]
    view = with_state(made, PodState.PENDING, *others) if others else made
    stage.directory.publish(EgressView((view,)))


def _started(stage: Scene, count: int) -> bool:
    return len(stage.started) == count


async def waits(desk: EgressService, count: int) -> None:
    """Wait until a desk knows of so many in the line."""

    async def knows() -> bool:
        await desk.sweeper.sync()
        return len(desk.ledger.waiting) == count

    await eventually(knows)


async def test_what_finds_no_room_waits_and_is_placed_when_a_pod_is_ready(stage: Scene) -> None:
    made = await full(stage, PATIENT, "pod-0", "pod-1")
    async with stage.desk() as desk:
        await stage.start(web())
        call = asyncio.create_task(stage.start(web("EG_x")))
        await eventually(lambda: "EG_x" in desk.ledger.waiting)
        assert await stage.commands.hkeys("mediafleet:{egress/0}:waiting") == ["EG_x"]
        ready(stage, made, "pod-0", "pod-1")
        assert (await call).error is None
        assert not desk.ledger.waiting
        assert not await stage.commands.exists("mediafleet:{egress/0}:waiting")
    assert stage.jobs == {"pod-0": 1, "pod-1": 1}


async def test_what_finds_no_room_waits_for_a_job_to_end(stage: Scene) -> None:
    await full(stage, PATIENT, "pod-0")
    async with stage.desk() as desk:
        await stage.start(web())
        call = asyncio.create_task(stage.start(web("EG_x")))
        await eventually(lambda: "EG_x" in desk.ledger.waiting)
        stage.standins["pod-0"].stop_all()
        assert (await call).error is None


async def test_without_a_queue_it_is_refused_at_once_and_nothing_is_kept(stage: Scene) -> None:
    await full(stage, QueueRule(), "pod-0")
    async with stage.desk() as desk:
        await stage.start(web())
        answer = await stage.start(web())
        assert answer.error is not None
        assert answer.error.code is Code.RESOURCE_EXHAUSTED
        await desk.settled()
        assert not await stage.commands.exists("mediafleet:{egress/0}:waiting")


async def test_what_could_never_fit_does_not_wait(stage: Scene) -> None:
    await stage.standin("pod-0", 2.0)
    stage.directory.publish(EgressView((replace(fleet("pod-0", cpus=2.0), queue=PATIENT),)))
    async with stage.desk() as desk:
        answer = await stage.start(web())
        assert answer.error is not None
        assert answer.error.code is Code.FAILED_PRECONDITION
        assert not desk.ledger.waiting


async def test_both_desks_tell_the_same_demand_of_those_who_wait_and_those_refused(
    stage: Scene,
) -> None:
    made = await full(stage, SHORT, "pod-0")
    async with stage.desk() as one, stage.desk() as two:
        await stage.start(web("EG_first"))
        answers = await stage.burst(*(in_room("r", f"EG_{n}") for n in range(4)))
        errors = [answer.error for answer in answers if answer.error is not None]
        assert {error.code for error in errors} == {Code.RESOURCE_EXHAUSTED}
        assert len(errors) == 4
        for desk in (one, two):
            await desk.settled()
        for desk in (one, two):
            await desk.sweeper.sync()
        assert dict(one.ledger.waiting) == dict(two.ledger.waiting)
        kept = one.ledger.waiting.values()
        assert {each.egress_id for each in kept} == {f"EG_{n}" for n in range(4)}
        assert all(each.keep_until is not None for each in kept)
        now = min(each.since for each in kept)
        assert sum(each.cores for each in of_fleet(kept, made.key, now)) == 16.0


async def test_both_desks_tell_who_was_refused_for_good_and_of_nobody_who_got_a_pod(
    stage: Scene,
) -> None:
    made = await full(stage, SHORT, "pod-0", "pod-1")
    soon = replace(QUICK, keep_place_seconds=0.5)
    async with stage.desk(soon) as one, stage.desk(soon) as two:
        await stage.start(web("EG_first"))
        await stage.burst(*(in_room("r", f"EG_{n}") for n in range(3)))
        ready(stage, made, "pod-0", "pod-1")
        await eventually(lambda: not one.ledger.waiting)
        for desk in (one, two):
            await desk.settled()
        for desk in (one, two):
            await desk.sweeper.sync()
        placed = len(set(stage.started) - {"EG_first"})
        for desk in (one, two):
            told = desk.ledger.refused_for_good(made.key, time.time())
            assert told == {RequestType.WEB: 3 - placed}


async def test_a_place_that_comes_after_a_refusal_is_kept_for_the_retry(stage: Scene) -> None:
    made = await full(stage, SHORT, "pod-0", "pod-1")
    async with stage.desk() as desk:
        await stage.start(web())
        first = await stage.start(web("EG_x"))
        assert first.error is not None
        ready(stage, made, "pod-0", "pod-1")
        other = await stage.start(web("EG_other"))
        assert other.error is not None, "the place is somebody else's"
        assert (await stage.start(web("EG_x"))).error is None
        assert "EG_x" not in desk.ledger.waiting
    assert "EG_other" not in stage.started


async def test_the_queue_is_no_longer_than_it_may_be(stage: Scene) -> None:
    await full(stage, QueueRule(max_wait_seconds=8.0, max_length=2), "pod-0")
    async with stage.desk() as desk:
        await stage.start(web())
        calls = [asyncio.create_task(stage.start(web(f"EG_{n}"))) for n in range(2)]
        await waits(desk, 2)
        answer = await stage.start(web("EG_late"))
        assert answer.error is not None
        assert set(desk.ledger.waiting) == {"EG_0", "EG_1"}
    for call in calls:
        assert (await call).error is not None, "and a desk that stops refuses those who wait"


async def test_rooms_share_the_places_that_come_whichever_desk_they_wait_at(stage: Scene) -> None:
    names = [f"pod-{n}" for n in range(11)]
    made = await full(stage, PATIENT, *names)
    async with stage.desk(NOW_AND_THEN) as one, stage.desk(NOW_AND_THEN) as two:
        await stage.start(web("EG_first"))
        calls = [asyncio.create_task(stage.start(in_room("a", f"EG_a{n}"))) for n in range(20)]
        await eventually(lambda: len({**one.ledger.waiting, **two.ledger.waiting}) == 20)
        calls += [asyncio.create_task(stage.start(in_room("b", f"EG_b{n}"))) for n in range(10)]
        for desk in (one, two):
            await waits(desk, 30)
        for count in range(2, 12):
            ready(stage, made, *names[:count])
            await eventually(partial(_started, stage, count))
            rooms = [name[3] for name in stage.started[1:]]
            assert abs(rooms.count("a") - rooms.count("b")) <= 1
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_what_a_dead_desk_left_in_the_line_counts_no_more_in_time_and_is_put_out(
    stage: Scene,
) -> None:
    made = await full(stage, PATIENT, "pod-0")
    dead = Store(stage.commands, Ledger())
    await dead.open()
    long_ago = time.time() - 60
    entry = Waiting("EG_x", made.key, RequestType.WEB, 4.0, "r", long_ago, until=long_ago + 11)
    await dead.wait(entry)
    await dead.close()
    async with stage.desk() as desk:
        assert "EG_x" in desk.ledger.waiting
        assert (await stage.start(web())).error is None, "it holds no place"
        await desk.sweeper.sync()
        await desk.settled()
        assert not desk.ledger.waiting
        assert desk.ledger.refused_for_good(made.key, time.time()) == {RequestType.WEB: 1}
    assert not await stage.commands.exists("mediafleet:{egress/0}:waiting")


async def test_wait_and_start_together_end_in_time_and_the_retry_joins_the_start(
    stage: Scene,
) -> None:
    await stage.standin("pod-0", 4.0, start_seconds=1.0)
    stage.directory.publish(EgressView((replace(fleet("pod-0", cpus=4.0), queue=PATIENT),)))
    async with stage.desk(replace(QUICK, answer_within_seconds=0.2)):
        answer = await stage.start(web("EG_x"))
        assert answer.error is not None
        assert answer.error.code is Code.UNAVAILABLE, "the client asks again"
        assert "Undecided" in answer.error.message
        await eventually(lambda: stage.started == ["EG_x"])
        assert (await stage.start(web("EG_x"))).error is None
    assert stage.started == ["EG_x"]


SHORTER = replace(
    IMPATIENT,
    forward_seconds=0.6,
    least_forward_seconds=0.05,
    leave_alone_seconds=0.2,
    grant_margin_seconds=0.1,
    list_wait_seconds=0.1,
    answer_margin_seconds=0.05,
    answer_within_seconds=0.9,
    start_allowance_seconds=0.2,
    keep_place_seconds=0.6,
    queue_look_seconds=0.02,
    sync_every_seconds=0.1,
    list_every_seconds=0.3,
    patience=Patience(young_seconds=0.3, unconfirmed_seconds=12.0, suspect_seconds=0.5),
    close_seconds=0.0,
)
"""All times divided by ten, as those of the client: a claim is given up after its last attempt."""


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_that_waits_is_started_twice_on_a_bad_bus_while_desks_come_and_go(
    commands: redis.Redis, seed: int
) -> None:
    chance = random.Random(seed)
    faults = Faults(lose=0.05, duplicate=0.05, delay=0.3, max_delay_seconds=0.05)
    over = asyncio.Event()
    names = tuple(f"pod-{n}" for n in range(32))
    async with scene(FaultyBus(MemoryBus(), faults, seed), commands) as stage:
        for name in names:
            # Jobs outlive a retry, and a desk that takes over from another: that a lost one ran at
            # all is livekit-server's to know.
            await stage.standin(name, 4.0, start_seconds=0.01, job_seconds=2.0)
        made = replace(fleet(*names, cpus=4.0), queue=QueueRule(0.5, 1000))
        stage.directory.publish(EgressView((made,)))

        async def desks() -> None:
            while not over.is_set():
                async with stage.desk(SHORTER):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(chance.uniform(0.2, 0.6)):
                            await over.wait()

        async with stage.desk(SHORTER) as desk:
            others = asyncio.create_task(desks())
            calls = (stage.call(in_room(chance.choice("ab")), 0.1) for _ in range(60))
            failures = await asyncio.gather(*calls)
            over.set()
            await others
            await waits(desk, 0)
    assert len(stage.started) == len(set(stage.started)), "an id was started twice"
    assert len(stage.started) >= failures.count(None) >= 24


async def test_a_retry_that_joins_a_wait_waits_to_its_own_end(stage: Scene) -> None:
    made = await full(stage, PATIENT, "pod-0", "pod-1")
    settings = replace(NOW_AND_THEN, answer_within_seconds=6.0, start_allowance_seconds=1.0)

    earlier = Clock(unix=lambda: time.time() - 3)

    async with stage.desk(settings) as desk, Client(stage.bus, SERVICE, clock=earlier) as client:
        await stage.start(web())
        payload = web("EG_x").SerializeToString()
        first = asyncio.create_task(client.request(START_EGRESS, payload, timeout_seconds=10.0))
        await waits(desk, 1)
        retry = asyncio.create_task(stage.start(web("EG_x")))
        answer = await first
        assert answer.error is not None
        assert answer.error.code is Code.UNAVAILABLE
        assert not retry.done(), "it may wait for longer"
        ready(stage, made, "pod-0", "pod-1")
        assert (await retry).error is None
    assert stage.started.count("EG_x") == 1

"""Whose pod a worker is, when it is given tasks, and what a pool's demand is."""

from __future__ import annotations

import itertools

import pytest

from mediafleet_common.api.names import Kind, PodState
from mediafleet_common.reports.demand import ModelDemand
from mediafleet_common.scaling.wanted import for_places
from mediafleet_scheduler.core.workers.dispatch import Dispatcher
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.pools import (
    PoolPod,
    Use,
    WorkerPool,
    WorkerPools,
    demand,
    held,
)
from mediafleet_scheduler.core.workers.steps import Send, Step
from mediafleet_scheduler.core.workers.views import InPool, Offer, Target, Worker

SD = Target(Pipeline.TEXT_TO_IMAGE, "sd")
ASR = Target(Pipeline.AUDIO_TO_TEXT, "asr")


def pool(**states: PodState) -> WorkerPool:
    pods = tuple(PoolPod(name, f"uid-{name}", state) for name, state in states.items())
    return WorkerPool("media", "p", {SD: 2, ASR: 1}, pods)


def worker(name: str, *, pod: bool = True, namespace: str = "media") -> Worker:
    offers = {SD: Offer(2, warm=True), ASR: Offer(1, warm=True)}
    if not pod:
        return Worker(name, "a", offers)
    return Worker(name, "a", offers, name=f"{namespace}/{name}", instance=f"uid-{name}")


def dispatcher(*workers: Worker) -> Dispatcher:
    some = Dispatcher(itertools.count(1).__next__)
    for each in workers:
        some.connected(each, 0)
    return some


def given(steps: list[Step]) -> list[str]:
    return [step.worker for step in steps if isinstance(step, Send)]


def use(some: Dispatcher) -> Use:
    return Use(some.load, some.waiting, some.missed)


@pytest.mark.parametrize(
    ("state", "is_held"),
    [(PodState.READY, False), (PodState.PENDING, True), (PodState.DRAINING, True)],
)
def test_a_worker_in_a_pod_is_given_tasks_while_the_pod_is_ready(
    state: PodState, is_held: bool
) -> None:
    assert held(worker("a"), WorkerPools((pool(a=state),))) is is_held


def test_a_pod_is_named_with_its_pool_where_it_is_believed() -> None:
    view = WorkerPools((pool(a=PodState.DRAINING),))
    assert view.place_of(worker("a")) == InPool("media/a", "p")
    assert view.place_of(worker("b")) is None
    assert view.place_of(worker("a", namespace="other")) is None
    assert view.place_of(worker("a", pod=False)) is None


def test_a_pod_is_believed_by_name_and_uid_and_unseen_ones_wait() -> None:
    view = WorkerPools((pool(a=PodState.READY),))
    assert held(worker("a"), None)
    assert held(worker("b"), view)
    assert held(worker("a", namespace="other"), view)
    assert held(Worker("w", "a", {}, name="media/a", instance="uid-b"), view)
    assert not held(worker("stock", pod=False), view)
    assert not held(worker("stock", pod=False), None)
    assert view.pod_of(worker("stock", pod=False)) is None
    assert view.pod_of(Worker("w", "a", {}, name="media/a")) is None


def test_a_held_worker_is_given_what_waits_once_it_is_let_go() -> None:
    some = Dispatcher(itertools.count(1).__next__)
    assert some.connected(worker("a"), 0, held=True) == []
    assert some.submitted("t", SD, 99, 0) == []
    assert some.capacity(SD) == 0
    assert given(some.undrain("a", 1)) == ["a"]
    assert some.undrain("a", 1) == []
    assert some.undrain("unknown", 1) == []
    assert some.capacity(SD) == 2


def test_load_and_missed_are_counted_for_each_model() -> None:
    some = dispatcher(worker("a"))
    for name in ("s", "t"):
        some.submitted(name, SD, 5, 0)
    some.submitted("u", ASR, 9, 0)
    some.submitted("waits", SD, 5, 0)
    assert (some.load("a"), some.load("a", SD), some.load("a", ASR)) == (3, 2, 1)
    assert (some.load("x"), some.load("x", SD)) == (0, 0)
    some.passed(5)
    assert (some.missed(SD), some.missed(ASR)) == (1, 0)


def test_demand_counts_ready_pods_and_tells_the_others_apart() -> None:
    some = dispatcher(
        worker("a"), worker("b"), worker("c"), worker("d"), worker("stock", pod=False)
    )
    some.drain("c", 0)
    taken = [given(some.submitted(f"t{n}", SD, 9, 0))[0] for n in range(4)]
    assert taken == ["a", "b", "d", "stock"]
    view = pool(
        a=PodState.READY,
        b=PodState.READY,
        c=PodState.DRAINING,
        d=PodState.PENDING,
        e=PodState.READY,
    )
    told = demand(view, some.workers, use(some), 7.0)
    assert (told.kind, told.namespace, told.name) == (Kind.AI_WORKER_POOL, "media", "p")
    assert (told.known, told.at, told.workers) == (True, 7.0, 4)
    assert (told.ready, told.away, told.busy, told.work, told.leaving) == (2, 1, 3, 3, 0)
    assert told.free == {str(SD): 2, str(ASR): 2}
    assert told.each == {str(SD): 2, str(ASR): 1}
    assert (told.size, told.used, told.queued, told.queued_cost) == (3.0, 3.0, {}, 0.0)
    assert told.models is not None
    assert told.models[str(SD)] == ModelDemand(
        capacity=4, in_use=2, waiting=0, missed=0, other_workers=1
    )


def test_tasks_on_draining_pods_leave_with_them_and_waiting_ones_count() -> None:
    some = dispatcher(worker("a"))
    for name in "stuv":
        some.submitted(name, SD, 9, 0)
    told = demand(pool(a=PodState.DRAINING), some.workers, use(some), 0)
    assert (told.ready, told.busy, told.work, told.leaving) == (0, 0, 0, 2)
    assert (told.queued, told.queued_cost) == ({str(SD): 2}, 2.0)


def test_an_idle_pending_worker_counts_as_nothing_and_an_unknown_offer_as_no_capacity() -> None:
    half = Worker("a", "a", {SD: Offer(2)}, name="media/a", instance="uid-a")
    some = dispatcher(half, worker("b"))
    told = demand(pool(a=PodState.READY, b=PodState.PENDING), some.workers, use(some), 0)
    assert (told.ready, told.away, told.workers) == (1, 0, 2)
    assert told.free == {str(SD): 2, str(ASR): 0}


def test_pods_are_wanted_for_the_model_that_lacks_most() -> None:
    some = dispatcher(worker("a"))
    for number in range(7):
        some.submitted(f"t{number}", SD, 9, 0)
    told = demand(pool(a=PodState.READY), some.workers, use(some), 0)
    found = for_places(told, None, 0)
    assert found is not None
    # Two run, five wait, two fit on a pod; of the other model one place is free.
    assert (found.pods, found.kind, found.each, found.free) == (4, str(SD), 2, 0)
    more = for_places(told, None, 1)
    assert more is not None
    assert more.pods == 4
    empty = told.model_copy(update={"each": {}})
    assert for_places(empty, None, 0) is None

"""What several brokers have of a pool's workers and tasks, put together."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping

import pytest

from mediafleet_common.api.names import PodState
from mediafleet_common.reports.demand import ModelDemand
from mediafleet_scheduler.core.workers.dispatch import Dispatcher
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.pools import PoolPod, WorkerPool, demand, unknown
from mediafleet_scheduler.core.workers.several.combined import (
    Part,
    combined,
    part_from,
    part_of,
)
from mediafleet_scheduler.core.workers.views import Offer, Target, Worker

SD = Target(Pipeline.TEXT_TO_IMAGE, "sd")
ASR = Target(Pipeline.AUDIO_TO_TEXT, "asr")
POOL = WorkerPool("media", "p", {SD: 2, ASR: 1}, (PoolPod("p-0", "u-0", PodState.READY),))


def pod(id_: str, uid: str = "u-0") -> Worker:
    """The worker of pod media/p-0, as one broker knows it."""
    return Worker(id_, "a", {SD: Offer(2, warm=True)}, name="media/p-0", instance=uid)


def stock(id_: str) -> Worker:
    return Worker(id_, "a", {SD: Offer(1)})


def broker(*workers: Worker, tasks: int = 0) -> Part:
    """A broker that was given so many tasks, as another one reads of it."""
    some = Dispatcher(itertools.count(1).__next__)
    for each in workers:
        some.connected(each, 0)
    for number in range(tasks):
        some.submitted(f"t{number}", SD, 0, 10)
    part = part_from(part_of(some, [SD, ASR]).to_json())
    assert part is not None
    return part


def told(parts: Mapping[str, Part]) -> ModelDemand:
    workers, use = combined(parts)
    models = demand(POOL, workers, use, 0).models
    assert models is not None
    return models[str(SD)]


def test_a_worker_whose_runner_is_too_old_is_no_room_of_its_pool() -> None:
    some = Dispatcher(itertools.count(1).__next__)
    some.connected(pod("w1"), 0)
    some.submitted("t", SD, 9, 0)
    assert told({"": part_of(some, [SD])}).capacity == 2
    some.asks_for({SD: "0.14.1"}, 1)
    part = part_of(some, [SD])
    assert (told({"": part}).capacity, told({"": part}).in_use) == (0, 1)
    workers, use = combined({"": part})
    assert demand(POOL, workers, use, 0).free == {str(SD): 0, str(ASR): 0}


def test_a_worker_at_two_brokers_is_one_with_the_tasks_of_both() -> None:
    parts = {"a": broker(pod("w1"), tasks=1), "b": broker(pod("w1"), tasks=1)}
    workers, use = combined(parts)
    assert [each.name for each in workers] == ["media/p-0"]
    found = demand(POOL, workers, use, 0)
    assert (found.workers, found.ready, found.busy, found.work) == (1, 1, 1, 2)
    assert found.free == {str(SD): 0, str(ASR): 0}
    (one,) = workers
    assert [use.load(one.id, each) for each in (SD, ASR, None)] == [2, 0, 2]


def test_what_waits_at_any_broker_waits_for_the_pool() -> None:
    parts = {"a": broker(tasks=3), "b": broker(pod("w1"), tasks=5)}
    expected = ModelDemand(capacity=2, in_use=2, waiting=6, missed=0, other_workers=0)
    assert told(parts) == expected


def test_what_was_missed_anywhere_is_added() -> None:
    parts = {name: Part((), {}, {SD: 2, ASR: 1}) for name in ("a", "b")}
    _, use = combined(parts)
    assert (use.missed(SD), use.missed(ASR), use.waiting(SD)) == (4, 2, 0)


def test_workers_without_a_name_are_counted_at_each_broker() -> None:
    parts = {"a": broker(stock("w1")), "b": broker(stock("w1"), stock("w2"))}
    assert told(parts).other_workers == 3


def test_another_run_of_the_same_pod_is_another_worker() -> None:
    workers, _ = combined({"a": broker(pod("w1")), "b": broker(pod("w1", "u-1"))})
    assert [each.instance for each in workers] == ["u-0", "u-1"]


def test_the_load_of_a_worker_that_nobody_has_is_none() -> None:
    _, use = combined({})
    assert use.load("w", None) == use.load("w", SD) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"workers":[],"waiting":[]}',
        '{"workers":[1],"waiting":[],"missed":[]}',
        '{"workers":[],"waiting":[["no-such-pipeline","m",1]],"missed":[]}',
        '{"workers":[],"waiting":[["llm","m",-1]],"missed":[]}',
        '{"workers":[],"waiting":[["llm","m",1e10]],"missed":[]}',
        '{"workers":[],"waiting":[["llm","m",1e999]],"missed":[]}',
        '{"workers":[[1,null,null,[],[]]],"waiting":[],"missed":[]}',
        '{"workers":[["w",1,null,[],[]]],"waiting":[],"missed":[]}',
        '{"workers":[["w",null,1,[],[]]],"waiting":[],"missed":[]}',
        "[" * 100_000,
    ],
)
def test_what_another_version_writes_is_nothing(text: str) -> None:
    assert part_from(text) is None


def test_a_part_is_read_as_it_was_written() -> None:
    worker = pod("w1")
    part = Part(((worker, {SD: 1}),), {SD: 2}, {ASR: 3})
    read = part_from(part.to_json())
    assert read is not None
    ((found, load),) = read.workers
    assert (found.id, found.name, found.instance) == ("w1", "media/p-0", "u-0")
    assert {target: offer.capacity for target, offer in found.offers.items()} == {SD: 2}
    assert (load, read.waiting, read.missed) == ({SD: 1}, {SD: 2}, {ASR: 3})
    assert json.loads(part.to_json())["waiting"] == [["text-to-image", "sd", 2]]


def test_the_demand_that_nobody_knows_says_why() -> None:
    found = unknown(POOL, "Redis is away", 5.0)
    assert (found.known, found.reason, found.at) == (False, "Redis is away", 5.0)
    assert (found.namespace, found.name, found.models) == ("media", "p", None)

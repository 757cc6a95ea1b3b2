"""What the broker's page shows."""

from __future__ import annotations

import itertools
from dataclasses import replace

from mediafleet_scheduler.core.workers.dispatch import Dispatcher
from mediafleet_scheduler.core.workers.pages.workers import workers_page
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.steps import Rules, Send
from mediafleet_scheduler.core.workers.views import Offer, Target, Worker

SD = Target(Pipeline.TEXT_TO_IMAGE, "sd")
WHISPER = Target(Pipeline.AUDIO_TO_TEXT, "whisper")


def worker(id_: str, name: str | None = None, **offers: int) -> Worker:
    models = {SD: Offer(offers.get("sd", 1)), WHISPER: Offer(2)}
    return Worker(id_, "203.0.113.1:1", models, hardware=("RTX 4090",), name=name)


def dispatcher(*workers: Worker, rules: Rules | None = None) -> Dispatcher:
    made = Dispatcher(itertools.count(1).__next__, rules)
    for each in workers:
        made.connected(each, 0.0)
    return made


def test_a_model_has_its_workers_its_tasks_and_who_waits() -> None:
    some = dispatcher(worker("a"), worker("b"))
    for number in range(5):
        some.submitted(f"t{number}", SD, 99.0, 0.0)
    sd, whisper = workers_page(some, [SD, WHISPER], 0.0).models[::-1]
    assert (sd.name, sd.workers, sd.capacity) == ("text-to-image/sd", 2, 2)
    assert (sd.in_use, sd.waiting, sd.missed) == (2, 3, 0)
    assert (whisper.name, whisper.capacity, whisper.in_use) == ("audio-to-text/whisper", 4, 0)


def test_a_model_that_no_worker_serves_is_shown_and_what_it_missed() -> None:
    some = dispatcher()
    some.submitted("t", SD, 5.0, 0.0)
    some.passed(6.0)
    (sd,) = workers_page(some, [SD], 6.0).models
    assert (sd.workers, sd.capacity, sd.waiting, sd.missed) == (0, 0, 0, 1)


def test_workers_come_by_name_and_then_those_without_one() -> None:
    some = dispatcher(worker("z"), worker("x", "b"), worker("y", "a"), worker("w"))
    shown = workers_page(some, [], 0.0).workers
    assert [(each.id, each.name) for each in shown] == [
        ("y", "a"),
        ("x", "b"),
        ("w", None),
        ("z", None),
    ]


def test_a_worker_has_its_models_its_tasks_and_its_gpu_but_no_address() -> None:
    some = dispatcher(worker("a", "name", sd=3))
    some.submitted("t", SD, 99.0, 0.0)
    page = workers_page(some, [SD], 0.0)
    (shown,) = page.workers
    assert shown.models == {"text-to-image/sd": 3, "audio-to-text/whisper": 2}
    assert (shown.in_use, shown.hardware, shown.why) == (1, ["RTX 4090"], None)
    assert "203.0.113" not in page.model_dump_json()


def test_versions_of_runners_are_shown_where_the_worker_says_them() -> None:
    offers = {SD: Offer(1, version="0.14.1"), WHISPER: Offer(1)}
    (shown,) = workers_page(dispatcher(Worker("a", "", offers)), [SD], 0.0).workers
    assert shown.versions == {"text-to-image/sd": "0.14.1"}


def test_a_registration_is_shown_without_the_address_that_it_came_from() -> None:
    page = workers_page(dispatcher(worker("203.0.113.1:40000/3f1c9a2b")), [SD], 0.0)
    assert [each.id for each in page.workers] == ["3f1c9a2b"]
    assert "203.0.113" not in page.model_dump_json()


def test_tasks_on_workers_that_drain_are_told_apart_from_room_that_is_in_use() -> None:
    some = dispatcher(worker("a", sd=1), worker("b", sd=3))
    for number in range(4):
        some.submitted(f"t{number}", SD, 99.0, 0.0)
    some.drain("a", 0.0)
    (sd,) = workers_page(some, [SD], 0.0).models
    assert (sd.capacity, sd.in_use, sd.leaving) == (3, 4, 1)


def test_a_name_by_the_secret_is_told_apart_from_what_a_worker_calls_itself() -> None:
    some = dispatcher(replace(worker("a", "media/made-up"), known_as="alice"))
    (shown,) = workers_page(some, [SD], 0.0).workers
    assert (shown.known_as, shown.name) == ("alice", "media/made-up")


def test_a_worker_that_drains_or_is_left_out_says_so() -> None:
    some = dispatcher(worker("a"), worker("b"), worker("c"), rules=Rules(faults=1))
    some.drain("a", 0.0)
    # A failure counts against a worker once another has done the task.
    (first,) = [each for each in some.submitted("t", SD, 99.0, 0.0) if isinstance(each, Send)]
    steps = some.failed(first.attempt, "out of memory", 0.0)
    (second,) = [each for each in steps if isinstance(each, Send)]
    some.succeeded(second.attempt, 0.0)
    why = {each.id: each.why for each in workers_page(some, [SD], 0.0).workers}
    assert why.pop("a") == "it drains, or its pod is not ready"
    assert "failed" in (why.pop(first.worker) or "")
    assert why == {second.worker: None}
    later = {each.id: each.why for each in workers_page(some, [SD], 1e9).workers}
    assert later == {"a": "it drains, or its pod is not ready", "b": None, "c": None}

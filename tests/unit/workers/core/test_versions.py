"""Which workers get a task by the version of their runner."""

from __future__ import annotations

import itertools

import pytest

from mediafleet_scheduler.core.workers.choice.versions import numbers, oldest, too_old
from mediafleet_scheduler.core.workers.dispatch import Dispatcher
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.steps import Answer, Ending, Send, Step
from mediafleet_scheduler.core.workers.views import Offer, Target, Worker

SD = Target(Pipeline.TEXT_TO_IMAGE, "sd")
LLM = Target(Pipeline.LLM, "m")


def worker(name: str, version: str | None, target: Target = SD) -> Worker:
    return Worker(name, "a", {target: Offer(1, warm=True, version=version)})


def with_workers(*workers: Worker) -> Dispatcher:
    some = Dispatcher(itertools.count(1).__next__)
    for each in workers:
        some.connected(each, 0)
    return some


def given(steps: list[Step]) -> list[tuple[str, str]]:
    return [(step.task, step.worker) for step in steps if isinstance(step, Send)]


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("0.14.1", (0, 14, 1)),
        ("v1.2.3", (1, 2, 3)),
        ("0.9.1-5f2c", (0, 9, 1)),
        ("0.14", None),
        ("1.2.3.4", None),
        ("1.2.33.", None),
        ("x1.2.3", None),
        ("latest", None),
        ("", None),
        (None, None),
    ],
)
def test_a_version_is_its_three_numbers(
    version: str | None, known: tuple[int, int, int] | None
) -> None:
    assert numbers(version) == known


@pytest.mark.parametrize(
    ("version", "least", "is_old"),
    [
        ("0.9.0", "0.14.0", True),
        ("0.14.0", "0.14.0", False),
        ("0.14.0", "0.9.0", False),
        (None, "0.0.1", True),
        ("latest", "0.0.1", True),
        (None, None, False),
        ("0.0.0", None, False),
    ],
)
def test_a_runner_is_too_old_unless_it_is_known_not_to_be(
    version: str | None, least: str | None, *, is_old: bool
) -> None:
    assert too_old(version, least) is is_old


def test_the_oldest_version_is_so_by_its_numbers() -> None:
    assert oldest({"0.14.0", "0.9.0", "0.10.0"}) == "0.9.0"
    assert oldest({"0.9.0", "dev"}) == "dev"
    assert oldest({"0.9.0", "0.9.0-b", "0.9.0-a"}) == "0.9.0"
    assert oldest(set()) is None


def test_a_worker_whose_runner_is_too_old_gets_no_task_and_is_no_capacity() -> None:
    some = with_workers(worker("old", "0.9.0"), worker("new", "0.14.2"), worker("mute", None))
    assert some.capacity(SD) == 3
    some.asks_for({SD: "0.14.0"}, 0)
    assert some.capacity(SD) == 1
    assert given(some.submitted("a", SD, 99, 1)) == [("a", "new")]
    assert given(some.submitted("b", SD, 99, 2)) == []
    assert some.why_not("b", 2) == {
        "old": "its runner's version is 0.9.0, 0.14.0 is asked for",
        "new": "no room: 1 of 1 in use",
        "mute": "its runner's version is not declared, 0.14.0 is asked for",
    }


def test_what_waits_is_given_when_a_lower_version_will_do() -> None:
    some = with_workers(worker("old", "0.9.0"))
    some.asks_for({SD: "0.14.0"}, 0)
    assert given(some.submitted("a", SD, 99, 1)) == []
    assert given(some.asks_for({SD: "0.9.0"}, 2)) == [("a", "old")]


def test_a_version_that_is_asked_for_no_more_counts_no_more() -> None:
    some = with_workers(worker("old", "0.9.0"))
    some.asks_for({SD: "0.14.0"}, 0)
    some.submitted("a", SD, 99, 1)
    assert given(some.asks_for({}, 2)) == [("a", "old")]


def test_each_model_has_a_version_of_its_own() -> None:
    some = with_workers(worker("image", "0.9.0"), worker("words", "0.9.0", LLM))
    some.asks_for({LLM: "1.0.0"}, 0)
    assert given(some.submitted("a", SD, 99, 1)) == [("a", "image")]
    assert given(some.submitted("b", LLM, 99, 1)) == []


def test_a_worker_that_is_too_old_is_none_that_a_failed_task_waits_for() -> None:
    some = with_workers(worker("old", "0.9.0"), worker("new", "1.0.0"))
    some.asks_for({SD: "1.0.0"}, 0)
    (sent,) = some.submitted("a", SD, 99, 1)
    assert isinstance(sent, Send)
    assert some.failed(sent.attempt, "broken", 2) == [Answer("a", Ending.FAILED, "broken", "new")]


def test_a_version_may_be_asked_for_before_a_worker_comes() -> None:
    some = with_workers()
    assert some.asks_for({SD: "1.0.0"}, 0) == []
    some.connected(worker("old", "0.9.0"), 1)
    assert given(some.submitted("a", SD, 99, 1)) == []

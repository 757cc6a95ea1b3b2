"""What a dispatcher knows of workers that fail, are full, drain and go, and of its own tasks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from mediafleet_scheduler.core.workers.choice.candidates import Candidate
from mediafleet_scheduler.core.workers.dispatch import Dispatcher
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.steps import (
    FULL_WORDS,
    Answer,
    Ending,
    Rules,
    Send,
    Step,
    Verdict,
)
from mediafleet_scheduler.core.workers.views import Offer, Target, Worker

SD = Target(Pipeline.TEXT_TO_IMAGE, "sd")
WHISPER = Target(Pipeline.AUDIO_TO_TEXT, "whisper")


def worker(name: str, *targets: Target, capacity: int = 1) -> Worker:
    return Worker(name, "a", {target: Offer(capacity, warm=True) for target in targets or (SD,)})


def with_workers(*workers: Worker, rules: Rules | None = None) -> Dispatcher:
    some = Dispatcher(itertools.count(1).__next__, rules)
    for each in workers:
        some.connected(each, 0)
    return some


def only(steps: Sequence[Step]) -> Send:
    (step,) = steps
    assert isinstance(step, Send)
    return step


def given(steps: Sequence[Step]) -> list[tuple[str, str]]:
    return [(step.task, step.worker) for step in steps if isinstance(step, Send)]


def fails(some: Dispatcher, task: str, now: float) -> None:
    """A task that its only worker fails."""
    some.failed(only(some.submitted(task, SD, now + 9, now)).attempt, "broken", now)


# Counts


def test_capacity_and_use_are_counted_for_each_model() -> None:
    some = with_workers(worker("a", SD, WHISPER, capacity=2), worker("b", SD))
    assert (some.capacity(SD), some.capacity(WHISPER)) == (3, 2)
    some.submitted("t", SD, 9, 0)
    some.submitted("u", WHISPER, 9, 0)
    assert (some.in_use(SD), some.in_use(WHISPER)) == (1, 1)
    assert [each.id for each in some.workers] == ["a", "b"]
    some.drain("a", 0)
    assert (some.capacity(SD), some.capacity(WHISPER)) == (1, 0)


def test_room_for_one_model_is_none_for_another() -> None:
    some = with_workers(Worker("a", "a", {SD: Offer(2, warm=True), WHISPER: Offer(1)}))
    assert len(given(some.submitted("t", SD, 9, 0))) == 1
    assert len(given(some.submitted("u", WHISPER, 9, 0))) == 1
    assert len(given(some.submitted("v", SD, 9, 0))) == 1
    assert some.submitted("w", WHISPER, 9, 0) == []
    assert some.load("a") == 3


def test_the_least_loaded_by_its_own_capacity_is_chosen() -> None:
    some = with_workers(worker("large", capacity=4), worker("small", capacity=2))
    names = [only(some.submitted(f"t{n}", SD, 9, 0)).worker for n in range(6)]
    assert names == ["large", "small", "large", "small", "large", "large"]


def test_a_worker_has_no_room_for_a_model_that_it_does_not_serve() -> None:
    assert Candidate(worker("a", SD), in_flight=0, last_given=0).room(WHISPER) == 0


def test_nothing_is_known_of_a_worker_that_is_not_there() -> None:
    some = with_workers()
    some.drain("w", 0)
    assert some.lost("w", 0) == []
    assert some.load("w") == 0
    assert not some.is_quarantined("w", 0)
    assert some.waiting(SD) == 0
    assert some.next_moment() is None


def test_a_task_comes_once() -> None:
    some = with_workers()
    some.submitted("t", SD, 9, 0)
    with pytest.raises(ValueError, match="task t is there already"):
        some.submitted("t", SD, 9, 0)
    assert some.waiting(SD) == 1


# Time


def test_the_next_moment_is_the_first_deadline() -> None:
    some = with_workers(worker("a"))
    some.submitted("t", SD, 9, 0)
    some.submitted("u", SD, 7, 0)
    assert some.next_moment() == 7
    some.passed(7)
    assert some.next_moment() == 9
    some.passed(9)
    assert some.next_moment() is None


def test_a_moment_that_is_past_is_told_until_it_was_acted_upon() -> None:
    some = with_workers(worker("a"))
    some.submitted("t", SD, 7, 0)
    some.submitted("u", SD, 99, 8)
    assert some.next_moment() == 7
    assert some.passed(8) == [Answer("t", Ending.TIMED_OUT, "no result in time")]
    assert some.next_moment() == 99


def test_a_pause_that_is_over_is_noticed_by_whatever_happens_next() -> None:
    some = with_workers(worker("a", SD, WHISPER))
    full = only(some.submitted("t", SD, 50, 0))
    some.failed(full.attempt, FULL_WORDS, 2)
    assert given(some.submitted("u", WHISPER, 60, 4)) == [("u", "a"), ("t", "a")]


def test_a_pause_is_waited_for_only_while_a_task_waits() -> None:
    some = with_workers(worker("a", SD, WHISPER))
    full = only(some.submitted("t", SD, 50, 0))
    some.failed(full.attempt, f" {FULL_WORDS} ", 2)
    assert some.next_moment() == 3
    some.cancelled("t")
    some.submitted("u", WHISPER, 60, 2)
    assert some.next_moment() == 60


def test_a_quarantines_end_is_waited_for_while_a_task_waits() -> None:
    some = with_workers(worker("a"), rules=Rules(faults=1))
    fails(some, "t", 0)
    assert some.submitted("u", SD, 99, 1) == []
    assert some.next_moment() == 15
    assert given(some.passed(15)) == [("u", "a")]


def test_a_task_that_waited_in_vain_is_told_what_the_last_worker_said() -> None:
    some = with_workers(worker("a"), worker("b"))
    first = only(some.submitted("t", SD, 9, 0))
    some.submitted("u", SD, 99, 0)
    assert some.failed(first.attempt, "broken", 1) == []
    some.submitted("v", WHISPER, 9, 1)
    assert some.passed(9) == [
        Answer("t", Ending.TIMED_OUT, "broken"),
        Answer("v", Ending.TIMED_OUT, "no worker had room in time"),
    ]
    assert some.waiting(SD) == 0


def test_a_deadline_is_not_due_before_its_time() -> None:
    some = with_workers()
    some.submitted("t", SD, 9, 0)
    assert some.passed(8.9) == []
    assert [step.task for step in some.passed(9)] == ["t"]


# Attempts


def test_an_attempt_is_for_its_task_until_the_task_is_over_or_elsewhere() -> None:
    some = with_workers(worker("a"))
    sent = only(some.submitted("t", SD, 9, 0))
    assert some.task_of(sent.attempt) == "t"
    assert some.verdict(sent.attempt) is Verdict.WANTED
    some.cancelled("t")
    assert some.task_of(sent.attempt) is None
    assert some.verdict(sent.attempt) is Verdict.LATE
    some.succeeded(sent.attempt, 1)
    assert some.task_of(sent.attempt) is None
    assert some.verdict(sent.attempt) is Verdict.UNKNOWN


def test_a_task_that_nobody_knows_is_cancelled_without_a_word() -> None:
    assert with_workers().cancelled("t") == []


def test_a_cancelled_task_does_not_wait_any_more() -> None:
    some = with_workers()
    some.submitted("t", SD, 9, 0)
    assert some.cancelled("t") == [Answer("t", Ending.CANCELLED)]
    assert some.waiting(SD) == 0
    assert some.connected(worker("a"), 1) == []


def test_a_late_first_byte_binds_nobody() -> None:
    some = with_workers(worker("a"))
    sent = only(some.submitted("t", SD, 9, 0))
    some.first_byte(99)
    some.cancelled("t")
    some.first_byte(sent.attempt)
    again = only(some.connected(worker("b"), 0) + some.submitted("t", SD, 9, 0))
    some.connected(worker("c"), 0)
    assert given(some.failed(again.attempt, "broken", 1)) == [("t", "c")]


def test_whose_an_attempt_is_is_known_until_its_result_comes_also_when_its_worker_goes() -> None:
    some = with_workers(replace(worker("a"), known_as="alice"))
    first = only(some.submitted("t", SD, 9, 0)).attempt
    assert (some.known_as(first), some.known_as(first + 1)) == ("alice", None)
    some.cancelled("t")
    assert some.known_as(first) == "alice"
    some.succeeded(first, 1)
    assert some.known_as(first) is None
    second = only(some.submitted("u", SD, 9, 1)).attempt
    some.lost("a", 2)
    assert some.known_as(second) == "alice"
    some.cancelled("u")
    assert some.known_as(second) is None


def test_a_late_failure_changes_no_task_and_frees_the_room() -> None:
    some = with_workers(worker("a"))
    sent = only(some.submitted("t", SD, 9, 0))
    some.cancelled("t")
    some.submitted("u", SD, 9, 0)
    assert given(some.failed(sent.attempt, "broken", 1)) == [("u", "a")]
    assert some.failed(sent.attempt, "broken", 1) == []


def test_what_a_lost_worker_had_for_tasks_that_are_over_is_forgotten() -> None:
    some = with_workers(worker("a"))
    some.submitted("t", SD, 9, 0)
    some.cancelled("t")
    assert some.lost("a", 1) == []
    assert (some.in_use(SD), some.workers) == (0, [])


# Who is next


def test_what_was_given_already_goes_before_what_waits() -> None:
    some = with_workers(worker("a", capacity=2))
    some.submitted("t", SD, 9, 0)
    some.submitted("u", SD, 9, 0)
    some.submitted("v", SD, 9, 0)
    assert some.lost("a", 1) == []
    assert given(some.connected(worker("b", capacity=3), 2)) == [
        ("u", "b"),
        ("t", "b"),
        ("v", "b"),
    ]


@pytest.mark.parametrize("words", [FULL_WORDS, "broken"])
def test_a_task_that_comes_back_is_the_first_to_be_given(words: str) -> None:
    some = with_workers(worker("a"), worker("b"))
    first = only(some.submitted("t", SD, 9, 0))
    other = only(some.submitted("u", SD, 9, 0))
    some.drain("a", 0)
    some.submitted("v", SD, 9, 0)
    assert some.failed(first.attempt, words, 0) == []
    assert given(some.succeeded(other.attempt, 0)) == [("t", "b")]


def test_a_task_whose_worker_may_not_have_it_again_blocks_nobody() -> None:
    some = with_workers(worker("a"), worker("b"))
    first = only(some.submitted("t", SD, 9, 0))
    some.submitted("u", SD, 9, 0)
    some.submitted("v", SD, 9, 0)
    assert given(some.failed(first.attempt, "broken", 0)) == [("v", first.worker)]
    assert some.waiting(SD) == 1


def test_a_worker_that_was_full_waits_for_its_turn() -> None:
    some = with_workers(worker("a", capacity=3), worker("b", capacity=3), worker("c", capacity=3))
    sent = only(some.submitted("t", SD, 9, 0))
    assert sent.worker == "a"
    assert given(some.failed(sent.attempt, FULL_WORDS, 0)) == [("t", "b")]
    assert given(some.submitted("u", SD, 9, 2)) == [("u", "c")]
    assert given(some.submitted("v", SD, 9, 2)) == [("v", "a")]


def test_a_worker_that_was_full_for_one_model_takes_others() -> None:
    some = with_workers(worker("a", SD, WHISPER))
    sent = only(some.submitted("t", SD, 9, 0))
    assert some.failed(sent.attempt, FULL_WORDS, 5) == []
    assert given(some.submitted("u", WHISPER, 9, 5)) == [("u", "a")]
    assert some.passed(5.9) == []
    assert given(some.passed(6)) == [("t", "a")]


def test_metrics_and_answers_name_each_end_and_each_result_by_one_word() -> None:
    assert [each.value for each in Ending] == ["done", "failed", "lost", "timed_out", "cancelled"]
    assert [each.value for each in Verdict] == ["wanted", "late", "unknown"]


# Blame


def test_the_only_workers_failures_count_and_each_one_after_them_does() -> None:
    some = with_workers(worker("a"), rules=Rules(faults=2, back_off_seconds=10))
    fails(some, "t0", 0)
    assert not some.is_quarantined("a", 0)
    fails(some, "t1", 0)
    assert (some.is_quarantined("a", 9), some.is_quarantined("a", 10)) == (True, False)
    fails(some, "t2", 10)
    assert (some.is_quarantined("a", 29), some.is_quarantined("a", 30)) == (True, False)


def test_the_time_out_of_a_worker_doubles_up_to_its_bound() -> None:
    rules = Rules(faults=1, back_off_seconds=10, max_back_off_seconds=35)
    some, now, pauses = with_workers(worker("a"), rules=rules), 0.0, []
    for number in range(20):
        fails(some, f"t{number}", now)
        some.submitted("waits", SD, 1e9, now)
        moment = some.next_moment()
        assert moment is not None
        pauses.append(moment - now)
        now = moment
        some.cancelled("waits")
    assert pauses == [10, 20] + [35] * 18


def test_three_failures_in_a_row_leave_a_worker_out_for_a_quarter_of_a_minute() -> None:
    some = with_workers(worker("a"))
    for task in ("t0", "t1"):
        fails(some, task, 0)
    assert not some.is_quarantined("a", 0)
    fails(some, "t2", 0)
    assert (some.is_quarantined("a", 14.9), some.is_quarantined("a", 15)) == (True, False)


def test_no_time_out_is_longer_than_ten_minutes() -> None:
    some, now = with_workers(worker("a"), rules=Rules(faults=1)), 0.0
    for number in range(20):
        fails(some, f"t{number}", now)
        now += 600
        assert not some.is_quarantined("a", now)
    fails(some, "last", now)
    assert some.is_quarantined("a", now + 599.9)


def test_a_worker_that_succeeds_is_trusted_as_on_its_first_day() -> None:
    some = with_workers(worker("a", capacity=2), rules=Rules(faults=1, back_off_seconds=10))
    running = only(some.submitted("long", SD, 99, 0))
    fails(some, "t0", 0)
    assert some.is_quarantined("a", 1)
    some.succeeded(running.attempt, 1)
    assert not some.is_quarantined("a", 1)
    fails(some, "t1", 1)
    assert (some.is_quarantined("a", 10), some.is_quarantined("a", 11)) == (True, False)


def test_failures_that_are_not_in_a_row_are_forgiven() -> None:
    some = with_workers(worker("a"), rules=Rules(faults=2))
    fails(some, "t0", 0)
    some.succeeded(only(some.submitted("t1", SD, 9, 0)).attempt, 0)
    fails(some, "t2", 0)
    assert not some.is_quarantined("a", 0)


def test_a_fault_that_another_worker_made_good_counts_though_its_worker_is_gone() -> None:
    some = with_workers(worker("a"), worker("b"), rules=Rules(faults=1))
    first = only(some.submitted("t", SD, 9, 0))
    second = only(some.failed(first.attempt, "broken", 0))
    some.lost(first.worker, 0)
    assert some.succeeded(second.attempt, 0) == [Answer("t", Ending.DONE, "", second.worker)]
    assert not some.is_quarantined(second.worker, 0)


def test_what_two_workers_failed_before_a_third_did_it_is_held_against_none() -> None:
    some = with_workers(worker("a"), worker("b"), worker("c"), rules=Rules(faults=1))
    steps: Sequence[Step] = some.submitted("t", SD, 9, 0)
    for _ in range(2):
        steps = some.failed(only(steps).attempt, "broken", 0)
    some.succeeded(only(steps).attempt, 0)
    assert not any(some.is_quarantined(name, 0) for name in "abc")


def test_a_worker_out_of_trust_for_longer_is_chosen_when_its_time_is_over() -> None:
    some = with_workers(worker("a"), worker("b"), rules=Rules(faults=1, back_off_seconds=5))
    first = only(some.submitted("t", SD, 9, 0))
    some.succeeded(only(some.failed(first.attempt, "broken", 0)).attempt, 0)
    assert {only(some.submitted("u", SD, 99, 1)).worker} == {"b"}
    assert some.submitted("v", SD, 99, 1) == []
    assert given(some.passed(4.9)) == []
    assert given(some.passed(5)) == [("v", "a")]

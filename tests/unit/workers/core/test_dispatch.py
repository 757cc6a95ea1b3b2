"""Who gets a task, and that each has one answer."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from mediafleet_scheduler.core.workers.choice.attempts import Given
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


def worker(name: str, capacity: int = 1, *, warm: bool = True, target: Target = SD) -> Worker:
    return Worker(name, "203.0.113.1:1", {target: Offer(capacity, warm)})


def dispatcher(rules: Rules | None = None) -> Dispatcher:
    return Dispatcher(itertools.count(1).__next__, rules)


def sent(steps: list[Step]) -> list[tuple[str, str]]:
    return [(step.task, step.worker) for step in steps if isinstance(step, Send)]


def test_a_warm_worker_comes_before_a_less_loaded_cold_one() -> None:
    some = dispatcher()
    some.connected(worker("cold", 4, warm=False), 0)
    some.connected(worker("warm", 2), 0)
    assert sent(some.submitted("a", SD, 99, 0)) == [("a", "warm")]
    assert sent(some.submitted("b", SD, 99, 0)) == [("b", "warm")]
    assert sent(some.submitted("c", SD, 99, 0)) == [("c", "cold")]


def test_equal_workers_take_turns() -> None:
    some = dispatcher()
    for name in ("x", "y", "z"):
        some.connected(worker(name, 9), 0)
    given = []
    for number in range(6):
        (step,) = some.submitted(f"t{number}", SD, 99, 0)
        assert isinstance(step, Send)
        given.append(step.worker)
        some.succeeded(step.attempt, 0)
    assert given == ["x", "y", "z"] * 2


def test_a_task_waits_for_room_and_goes_first_come_first_served() -> None:
    some = dispatcher()
    assert some.submitted("a", SD, 99, 0) == []
    assert some.submitted("b", SD, 99, 0) == []
    (first,) = some.connected(worker("w"), 0)
    assert isinstance(first, Send)
    assert first.task == "a"
    assert some.waiting(SD) == 1
    assert sent(some.succeeded(first.attempt, 1)) == [("b", "w")]


def test_a_full_worker_is_passed_over_without_limit() -> None:
    some = dispatcher(Rules(max_attempts=1))
    for name in "abcde":
        some.connected(worker(name), 0)
    (step,) = some.submitted("t", SD, 99, 0)
    seen = []
    for _ in range(4):
        assert isinstance(step, Send)
        seen.append(step.worker)
        (step,) = some.failed(step.attempt, FULL_WORDS, 0)
    assert isinstance(step, Send)
    assert sorted([*seen, step.worker]) == list("abcde")


def test_when_all_are_full_the_task_waits_and_is_given_again_after_the_pause() -> None:
    some = dispatcher()
    some.connected(worker("w"), 0)
    (step,) = some.submitted("t", SD, 99, 0)
    assert isinstance(step, Send)
    assert some.failed(step.attempt, FULL_WORDS, 0) == []
    assert some.next_moment() == 1.0
    assert sent(some.passed(1.0)) == [("t", "w")]


@pytest.mark.parametrize(("most", "tried"), [(3, 3), (None, 5), (1, 1)])
def test_errors_are_tried_elsewhere_so_many_times(most: int | None, tried: int) -> None:
    some = dispatcher(Rules(max_attempts=most))
    for name in "abcde":
        some.connected(worker(name), 0)
    (step,) = some.submitted("t", SD, 99, 0)
    count = 0
    while isinstance(step, Send):
        count += 1
        (step,) = some.failed(step.attempt, f"broken {count}", 0)
    assert (count, step) == (tried, Answer("t", Ending.FAILED, f"broken {count}", step.worker))


def test_a_workers_death_is_made_good_once() -> None:
    some = dispatcher()
    some.connected(worker("a"), 0)
    some.submitted("t", SD, 99, 0)
    some.connected(worker("b"), 0)
    assert sent(some.lost("a", 1)) == [("t", "b")]
    assert some.lost("b", 2) == [Answer("t", Ending.LOST, "its worker is gone", "b")]


def test_a_worker_that_comes_back_under_its_name_is_not_given_what_it_died_with() -> None:
    some = dispatcher()
    some.connected(worker("a"), 0)
    some.submitted("t", SD, 99, 0)
    some.lost("a", 1)
    assert sent(some.connected(worker("a"), 2)) == []
    assert sent(some.connected(worker("b"), 3)) == [("t", "b")]


def test_after_the_first_byte_no_other_worker_is_asked() -> None:
    for harm in ("lost", "failed"):
        some = dispatcher()
        some.connected(worker("a"), 0)
        (step,) = some.submitted("t", SD, 99, 0)
        some.connected(worker("b"), 0)
        assert isinstance(step, Send)
        some.first_byte(step.attempt)
        steps = some.lost("a", 1) if harm == "lost" else some.failed(step.attempt, "broken", 1)
        assert [type(each) for each in steps] == [Answer]


def test_a_cancelled_task_takes_up_capacity_until_its_result_comes() -> None:
    some = dispatcher()
    some.connected(worker("w"), 0)
    (step,) = some.submitted("t", SD, 99, 0)
    assert isinstance(step, Send)
    assert some.cancelled("t") == [Answer("t", Ending.CANCELLED)]
    assert some.submitted("u", SD, 99, 0) == []
    assert some.verdict(step.attempt) is Verdict.LATE
    assert sent(some.succeeded(step.attempt, 5)) == [("u", "w")]


def test_a_time_out_asks_nobody_else_and_leaves_the_capacity_in_use() -> None:
    some = dispatcher()
    some.connected(worker("w"), 0)
    some.connected(worker("idle"), 0)
    (step,) = some.submitted("t", SD, 10, 0)
    assert isinstance(step, Send)
    assert some.passed(10) == [Answer("t", Ending.TIMED_OUT, "no result in time")]
    assert some.in_use(SD) == 1
    assert some.succeeded(step.attempt, 11) == []
    assert some.in_use(SD) == 0


def test_a_result_of_a_worker_that_is_gone_is_taken_while_its_task_has_no_answer() -> None:
    some = dispatcher()
    some.connected(worker("a"), 0)
    (first,) = some.submitted("t", SD, 99, 0)
    some.connected(worker("b"), 0)
    (second,) = some.lost("a", 1)
    assert isinstance(first, Send)
    assert isinstance(second, Send)
    assert first.attempt != second.attempt
    assert [some.is_earlier(each.attempt) for each in (first, second)] == [True, False]
    assert some.verdict(first.attempt) is some.verdict(second.attempt) is Verdict.WANTED
    assert some.succeeded(first.attempt, 2) == [Answer("t", Ending.DONE, "", "a")]
    # Whoever has it now does it in vain, and is in use until its result comes.
    assert some.verdict(first.attempt) is Verdict.UNKNOWN
    assert some.verdict(second.attempt) is Verdict.LATE
    assert some.in_use(SD) == 1
    assert some.succeeded(second.attempt, 3) == []
    assert some.in_use(SD) == 0


def test_a_task_that_waits_is_answered_by_the_worker_that_it_was_lost_with() -> None:
    some = dispatcher()
    some.connected(worker("a"), 0)
    (first,) = some.submitted("t", SD, 99, 0)
    assert some.lost("a", 1) == []
    assert isinstance(first, Send)
    assert some.succeeded(first.attempt, 2) == [Answer("t", Ending.DONE, "", "a")]
    assert some.waiting(SD) == 0
    assert some.connected(worker("b"), 3) == []


def test_an_error_of_a_worker_that_is_gone_changes_nothing() -> None:
    some = dispatcher(Rules(max_attempts=1))
    some.connected(worker("a"), 0)
    (first,) = some.submitted("t", SD, 99, 0)
    some.lost("a", 1)
    assert isinstance(first, Send)
    assert some.failed(first.attempt, "broken", 2) == []
    assert some.verdict(first.attempt) is Verdict.UNKNOWN
    assert sent(some.connected(worker("b"), 3)) == [("t", "b")]


def test_a_stream_of_a_worker_that_is_gone_is_the_answer_from_its_first_byte() -> None:
    some = dispatcher()
    some.connected(worker("a"), 0)
    (first,) = some.submitted("t", SD, 99, 0)
    some.connected(worker("b"), 0)
    (second,) = some.lost("a", 1)
    assert isinstance(first, Send)
    assert isinstance(second, Send)
    some.first_byte(first.attempt)
    assert some.verdict(second.attempt) is Verdict.LATE
    assert some.failed(second.attempt, "broken", 2) == []
    assert some.succeeded(first.attempt, 3) == [Answer("t", Ending.DONE, "", "a")]


def test_after_the_first_byte_no_earlier_result_is_taken() -> None:
    some = dispatcher()
    some.connected(worker("a"), 0)
    (first,) = some.submitted("t", SD, 99, 0)
    some.connected(worker("b"), 0)
    (second,) = some.lost("a", 1)
    assert isinstance(first, Send)
    assert isinstance(second, Send)
    some.first_byte(second.attempt)
    assert some.verdict(first.attempt) is Verdict.LATE
    assert some.succeeded(first.attempt, 2) == []
    assert some.succeeded(second.attempt, 3) == [Answer("t", Ending.DONE, "", "b")]


def test_attempts_of_the_broker_that_had_a_task_are_its_own_and_forgotten_with_it() -> None:
    some = dispatcher()
    earlier = [Given(7_001, "alice"), Given(7_002)]
    assert some.submitted("t", SD, 99, 0, earlier=earlier) == []
    assert (some.known_as(7_001), some.known_as(7_002), some.known_as(7_003)) == (
        "alice",
        None,
        None,
    )
    assert [some.verdict(each) for each in (7_001, 7_003)] == [Verdict.WANTED, Verdict.UNKNOWN]
    assert some.succeeded(7_001, 1) == [Answer("t", Ending.DONE)]
    assert some.verdict(7_002) is Verdict.UNKNOWN
    some.submitted("u", SD, 5, 1, earlier=[Given(7_003)])
    some.passed(6)
    assert some.verdict(7_003) is Verdict.UNKNOWN


def test_an_attempt_of_our_own_is_not_taken_for_another_brokers() -> None:
    some = dispatcher()
    some.connected(worker("w"), 0)
    (step,) = some.submitted("t", SD, 99, 0)
    assert isinstance(step, Send)
    some.submitted("u", SD, 99, 0, earlier=[Given(step.attempt)])
    assert some.task_of(step.attempt) == "t"


def test_a_worker_that_comes_back_under_its_name_has_its_room_when_its_earlier_self_is_done() -> (
    None
):
    some = dispatcher()
    some.connected(worker("a"), 0)
    (first,) = some.submitted("t", SD, 99, 0)
    some.lost("a", 1)
    some.connected(worker("a", target=WHISPER), 2)
    assert isinstance(first, Send)
    assert some.succeeded(first.attempt, 3) == [Answer("t", Ending.DONE, "", "a")]
    assert sent(some.submitted("u", WHISPER, 99, 3)) == [("u", "a")]


def fail_alone(some: Dispatcher, task: str, bad: str, now: float) -> None:
    """A task that `bad` fails and another worker does."""
    steps = some.submitted(task, SD, now + 99, now)
    while steps:
        (step,) = steps
        if not isinstance(step, Send):
            return
        done = step.worker != bad
        steps = some.succeeded(step.attempt, now) if done else some.failed(step.attempt, "x", now)


def test_a_worker_that_alone_fails_three_tasks_is_left_out_for_a_while() -> None:
    some = dispatcher()
    some.connected(worker("bad"), 0)
    some.connected(worker("good"), 0)
    for number in range(6):
        fail_alone(some, f"t{number}", "bad", 0)
    assert some.is_quarantined("bad", 14)
    assert not some.is_quarantined("bad", 15)
    assert not some.is_quarantined("good", 0)


def test_a_request_that_fails_on_two_workers_is_held_against_neither() -> None:
    some = dispatcher()
    for name in ("a", "b"):
        some.connected(worker(name), 0)
    for number in range(9):
        steps = some.submitted(f"poison{number}", SD, 99, 0)
        while steps and isinstance(step := steps[0], Send):
            steps = some.failed(step.attempt, "cannot read the request", 0)
    assert not some.is_quarantined("a", 0)
    assert not some.is_quarantined("b", 0)
    assert len(sent(some.submitted("fine", SD, 99, 0))) == 1


def test_a_draining_worker_finishes_what_it_has_and_gets_nothing_more() -> None:
    some = dispatcher()
    some.connected(worker("w", 2), 0)
    (step,) = some.submitted("a", SD, 99, 0)
    some.drain("w", 0)
    assert some.submitted("b", SD, 99, 0) == []
    assert some.capacity(SD) == 0
    assert isinstance(step, Send)
    assert some.succeeded(step.attempt, 1) == [Answer("a", Ending.DONE, "", "w")]
    assert some.load("w") == 0


class AnyOrder(RuleBasedStateMachine):
    """Workers that come and go, tasks and results in whatever order."""

    workers = Bundle("workers")
    tasks = Bundle("tasks")
    attempts = Bundle("attempts")

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.some = dispatcher(Rules(full_pause_seconds=2, back_off_seconds=3))
        self.offers: dict[str, Worker] = {}
        self.live: dict[str, set[int]] = {}
        self.open: dict[int, tuple[str, Target]] = {}
        self.targets: dict[str, Target] = {}
        self.answered: dict[str, Ending] = {}
        self.names = itertools.count()

    def follow(self, steps: list[Step]) -> list[int]:
        sends: list[int] = []
        for step in steps:
            if isinstance(step, Answer):
                assert step.task not in self.answered, "answered twice"
                self.answered[step.task] = step.ending
                continue
            assert step.task not in self.answered, "given to a worker after its answer"
            assert step.attempt not in self.open
            target = self.targets[step.task]
            offer = self.offers[step.worker].offers[target]
            on_it = sum(self.open[each] == (step.worker, target) for each in self.live[step.worker])
            assert on_it < offer.capacity, "more than the worker takes"
            self.live[step.worker].add(step.attempt)
            self.open[step.attempt] = (step.worker, target)
            sends.append(step.attempt)
        return sends

    @rule(
        target=workers,
        capacity=st.integers(1, 3),
        warm=st.booleans(),
        both=st.booleans(),
        held=st.booleans(),
    )
    def connect(self, capacity: int, warm: bool, both: bool, held: bool) -> str:
        name = f"w{next(self.names)}"
        offers = {SD: Offer(capacity, warm)} | ({WHISPER: Offer(1)} if both else {})
        self.offers[name] = replace(worker(name), offers=offers)
        self.live[name] = set()
        steps = self.some.connected(self.offers[name], self.now, held=held)
        assert not (held and any(isinstance(each, Send) for each in steps))
        self.follow(steps)
        return name

    @rule(
        target=attempts,
        wanted=st.sampled_from([SD, WHISPER]),
        seconds=st.integers(1, 20),
        session=st.sampled_from([None, "s", "t"]),
    )
    def submit(self, wanted: Target, seconds: int, session: str | None) -> object:
        name = f"t{next(self.names)}"
        self.targets[name] = wanted
        return multiple(
            *self.follow(self.some.submitted(name, wanted, self.now + seconds, self.now, session))
        )

    @rule(target=attempts, attempt=st.integers(10_000, 10_009))
    def take_over(self, attempt: int) -> object:
        """A task of another broker, whose worker may post yet."""
        name = f"t{next(self.names)}"
        self.targets[name] = SD
        steps = self.some.submitted(name, SD, self.now + 9, self.now, earlier=[Given(attempt)])
        return multiple(*self.follow(steps))

    @rule(target=attempts, attempt=st.integers(10_000, 10_009), how=st.sampled_from("sfb"))
    def post_of_earlier(self, attempt: int, how: str) -> object:
        if how == "b":
            self.some.first_byte(attempt)
            return multiple()
        happens = self.some.succeeded(attempt, self.now)
        if how == "f":
            happens += self.some.failed(attempt, "broken", self.now)
        return multiple(*self.follow(happens))

    def done(self, attempt: int) -> None:
        known = self.open.pop(attempt, None)
        if known is not None:
            self.live.get(known[0], set()).discard(attempt)

    @rule(target=attempts, attempt=st.integers(1, 60))
    def succeed(self, attempt: int) -> object:
        self.done(attempt)
        return multiple(*self.follow(self.some.succeeded(attempt, self.now)))

    @rule(target=attempts, attempt=st.integers(1, 60), full=st.booleans())
    def fail(self, attempt: int, full: bool) -> object:
        self.done(attempt)
        words = FULL_WORDS if full else "broken"
        return multiple(*self.follow(self.some.failed(attempt, words, self.now)))

    @rule(target=attempts, name=consumes(workers))
    def lose(self, name: str) -> object:
        for attempt in self.live.pop(name, set()):
            self.open.pop(attempt, None)
        return multiple(*self.follow(self.some.lost(name, self.now)))

    @rule(name=workers)
    def drain(self, name: str) -> None:
        self.some.drain(name, self.now)

    @rule(target=attempts, name=workers)
    def undrain(self, name: str) -> object:
        return multiple(*self.follow(self.some.undrain(name, self.now)))

    @rule(attempt=st.integers(1, 60))
    def stream(self, attempt: int) -> None:
        self.some.first_byte(attempt)

    @rule(number=st.integers(0, 60))
    def cancel(self, number: int) -> None:
        self.follow(self.some.cancelled(f"t{number}"))

    @rule(target=attempts, seconds=st.integers(1, 5))
    def wait(self, seconds: int) -> object:
        self.now += seconds
        return multiple(*self.follow(self.some.passed(self.now)))

    @invariant()
    def capacity_is_conserved(self) -> None:
        if not hasattr(self, "some"):
            return
        for name, attempts in self.live.items():
            assert self.some.load(name) == len(attempts)
        for wanted in (SD, WHISPER):
            running = sum(each == wanted for _, each in self.open.values())
            assert self.some.in_use(wanted) == running

    def teardown(self) -> None:
        if not hasattr(self, "some"):
            return
        self.now += 1000
        self.follow(self.some.passed(self.now))
        assert self.answered.keys() == self.targets.keys(), "a task without an answer"


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=int(os.environ.get("MEDIAFLEET_ORDERS", "6000")) // 60, stateful_step_count=60
)

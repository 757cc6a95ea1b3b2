"""What is told of a task afterwards, and that a session keeps to its worker."""

from __future__ import annotations

import itertools

import pytest

from mediafleet_common.reports.task import TaskExplained, TaskState
from mediafleet_scheduler.core.workers.choice.candidates import Chosen
from mediafleet_scheduler.core.workers.dispatch import Dispatcher
from mediafleet_scheduler.core.workers.pipelines import Pipeline, session_of
from mediafleet_scheduler.core.workers.standing import Sessions, Task
from mediafleet_scheduler.core.workers.steps import FULL_WORDS, Answer, Ending, Send, Step
from mediafleet_scheduler.core.workers.trail import Trail, why
from mediafleet_scheduler.core.workers.views import InPool, Offer, Target, Worker

SD = Target(Pipeline.TEXT_TO_IMAGE, "sd")


def worker(name: str, capacity: int = 1, *, warm: bool = True, told: str | None = None) -> Worker:
    return Worker(name, "a", {SD: Offer(capacity, warm)}, name=told)


def dispatcher(*workers: Worker) -> Dispatcher:
    some = Dispatcher(itertools.count(1).__next__)
    for each in workers:
        some.connected(each, 0)
    return some


def only(steps: list[Step]) -> Send:
    (step,) = steps
    assert isinstance(step, Send)
    return step


def chosen(**more: object) -> Chosen:
    values = {"among": 2, "warm": True, "in_flight": 1, "capacity": 4, "kept": False, **more}
    return Chosen(worker("w", told="pod-1"), **values)  # type: ignore[arg-type]


# Sessions


def test_a_session_keeps_to_its_worker_while_that_has_room() -> None:
    some = dispatcher(worker("a", 2), worker("b", 2))
    first = only(some.submitted("t", SD, 9, 0, "s"))
    assert first.worker == "a"
    assert only(some.submitted("u", SD, 9, 0, "s")).worker == "a"
    third = only(some.submitted("v", SD, 9, 0, "s"))
    assert third.worker == "b"
    some.succeeded(first.attempt, 0)
    some.submitted("fills b", SD, 9, 0)
    some.succeeded(third.attempt, 0)
    assert only(some.submitted("w", SD, 9, 0, "s")).worker == "b"


def test_a_warm_worker_is_no_reason_to_leave_a_sessions_worker() -> None:
    some = dispatcher(worker("cold", 2, warm=False))
    kept = only(some.submitted("t", SD, 9, 0, "s"))
    some.connected(worker("warm", 2), 0)
    step = only(some.submitted("u", SD, 9, 0, "s"))
    assert step.worker == "cold"
    assert (kept.chosen and kept.chosen.kept) is False
    assert step.chosen == Chosen(worker("cold", 2, warm=False), 2, False, 1, 2, True)
    assert only(some.submitted("v", SD, 9, 0, "other")).worker == "warm"


def test_tasks_without_a_session_share_none() -> None:
    some = dispatcher(worker("a", 2), worker("b", 2))
    assert [only(some.submitted(name, SD, 9, 0)).worker for name in "tu"] == ["a", "b"]


def test_the_longest_unused_session_is_forgotten() -> None:
    sessions = Sessions(most=2)

    def task(name: str) -> Task:
        return Task("t", SD, 9, name)

    for name in ("x", "y", "x", "z"):
        sessions.given(task(name), f"of {name}")
    found = [sessions.of(task(name)) for name in ("x", "y", "z")]
    assert found == ["of x", None, "of z"]
    assert sessions.of(Task("t", SD, 9)) is None
    assert sessions.of(Task("t", Target(Pipeline.LLM, "m"), 9, "x")) is None


@pytest.mark.parametrize(
    ("pipeline", "request_", "session"),
    [
        (Pipeline.LLM, {"prompt_cache_key": "k"}, "k"),
        (Pipeline.LLM, {"prompt_cache_key": "k" * 300}, "k" * 256),
        (Pipeline.LLM, {"prompt_cache_key": ""}, None),
        (Pipeline.LLM, {"prompt_cache_key": 7}, None),
        (Pipeline.LLM, {}, None),
        (Pipeline.TEXT_TO_IMAGE, {"prompt_cache_key": "k"}, None),
    ],
)
def test_an_llms_cache_key_is_its_session(
    pipeline: Pipeline, request_: dict[str, object], session: str | None
) -> None:
    assert session_of(pipeline, request_) == session


# Why not


def test_each_worker_says_why_it_is_not_given_a_task_that_waits() -> None:
    some = dispatcher(worker("busy"), worker("drained"), worker("full"))
    some.drain("drained", 0)
    only(some.submitted("r", SD, 9, 0))
    full = only(some.submitted("s", SD, 9, 0))
    assert full.worker == "full"
    some.failed(full.attempt, FULL_WORDS, 0)
    some.cancelled("s")
    some.submitted("t", SD, 99, 0)
    assert some.why_not("t", 0) == {
        "busy": "no room: 1 of 1 in use",
        "drained": "drains",
        "full": "said that it was full",
    }
    assert some.why_not("unknown", 0) == {}


def test_a_worker_that_failed_a_task_or_is_left_out_says_so() -> None:
    some = dispatcher(worker("bad"))
    for number in range(3):
        some.failed(only(some.submitted(f"t{number}", SD, 99, 0)).attempt, "broken", 0)
    some.submitted("u", SD, 99, 1)
    assert some.why_not("u", 1) == {"bad": "left out after failures, for 14 s more"}
    some.connected(worker("also bad"), 1)
    some.connected(worker("busy"), 1)
    some.submitted("v", SD, 99, 1)
    assert some.tasks_of("also bad") == ["u"]
    attempt = next(each for each in range(1, 9) if some.task_of(each) == "u")
    some.failed(attempt, "broken", 1)
    assert some.why_not("u", 1)["also bad"] == "failed this task, or died with it"


def test_tasks_of_a_worker_are_those_that_wait_for_it() -> None:
    some = dispatcher(worker("w", 3))
    for name in "tuv":
        some.submitted(name, SD, 9, 0)
    some.cancelled("u")
    assert some.tasks_of("w") == ["t", "v"]
    assert some.tasks_of("x") == []


# What is told


def told(trail: Trail, task: str, now: float = 10.0) -> TaskExplained:
    found = trail.explained(task, {"w": "drains"}, now)
    assert found is not None
    return found


def test_a_task_tells_who_had_it_and_what_came_of_that() -> None:
    trail = Trail()
    trail.came("t", SD, "s", 1)
    waiting = told(trail, "t")
    assert (waiting.state, waiting.seconds, waiting.session) == (TaskState.WAITING, 9, "s")
    assert waiting.not_given_to == {"w": "drains"}
    trail.given(Send(1, "t", "w", chosen()), 2)
    running = told(trail, "t")
    assert (running.state, running.not_given_to) == (TaskState.RUNNING, {})
    assert running.attempts[0].seconds is None
    trail.came_back("t", "broken", 4)
    assert told(trail, "t").state is TaskState.WAITING
    trail.given(Send(2, "t", "v"), 5)
    trail.answered(Answer("t", Ending.DONE, "", "v"), 7)
    done = told(trail, "t")
    assert (done.state, done.seconds, done.words) == (TaskState.DONE, 6, "")
    first, second = done.attempts
    assert (first.worker, first.name, first.after_seconds, first.seconds) == ("w", "pod-1", 1, 2)
    assert (first.outcome, second.outcome) == ("broken", "done")
    assert (second.name, second.why, second.seconds) == (None, "", 2)
    assert (done.pipeline, done.model) == ("text-to-image", "sd")


def test_a_pod_and_a_workers_claims_are_told_as_they_were_when_it_was_given_the_task() -> None:
    trail = Trail()
    trail.came("t", SD, None, 0)
    one = Worker("w", "", {SD: Offer(1, version="0.14.1")}, hardware=("RTX 4090",))
    step = Send(1, "t", "w", Chosen(one, 1, warm=False, in_flight=0, capacity=1, kept=False))
    trail.given(step, 0, InPool("media/p-0", "p"))
    trail.came_back("t", "broken", 1)
    trail.given(Send(2, "t", "v"), 1)
    first, second = told(trail, "t").attempts
    assert (first.pod, first.pool) == ("media/p-0", "p")
    assert (first.version, first.hardware) == ("0.14.1", ["RTX 4090"])
    assert (second.pod, second.pool, second.version, second.hardware) == (None, None, None, [])


def test_pods_are_named_of_the_workers_that_a_waiting_task_is_not_given_to() -> None:
    trail, why_not = Trail(), {"w": "drains", "v": "drains"}
    trail.came("t", SD, None, 0)
    pods = {"w": InPool("media/p-0", "p")}
    found = trail.explained("t", why_not, 0, pods.get)
    assert found is not None
    assert (found.not_given_to, found.pods) == (why_not, {"w": "media/p-0"})
    trail.given(Send(1, "t", "w"), 0)
    assert (running := trail.explained("t", why_not, 0, pods.get)) is not None
    assert running.pods == {}


def test_an_attempt_keeps_its_first_outcome() -> None:
    trail = Trail()
    trail.came("t", SD, None, 0)
    trail.given(Send(1, "t", "w"), 0)
    trail.came_back("t", "broken", 1)
    trail.answered(Answer("t", Ending.FAILED, "x" * 900, "w"), 2)
    found = told(trail, "t")
    assert (found.attempts[0].outcome, found.attempts[0].seconds) == ("broken", 1)
    assert len(found.words) == 500
    assert found.state is TaskState.FAILED


def test_what_is_unknown_is_not_told() -> None:
    trail = Trail()
    trail.given(Send(1, "x", "w"), 0)
    trail.came_back("x", "broken", 0)
    trail.answered(Answer("x", Ending.DONE), 0)
    assert trail.explained("x", {}, 0) is None
    trail.came("t", SD, None, 0)
    trail.came_back("t", "broken", 0)
    assert told(trail, "t").attempts == []


def test_only_the_latest_tasks_and_attempts_are_kept() -> None:
    trail = Trail(most_ended=2)
    for name in "abc":
        trail.came(name, SD, None, 0)
        for number in range(25):
            trail.given(Send(number, name, f"w{number}"), number)
        trail.answered(Answer(name, Ending.TIMED_OUT), 30)
    assert trail.explained("a", {}, 0) is None
    attempts = told(trail, "b").attempts
    assert [each.worker for each in attempts] == [f"w{number}" for number in range(5, 25)]
    assert attempts[-1].outcome == "timed out"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            chosen(),
            "the first of 2 with room: warm, least loaded, longest idle; warm, 1 of 4 in use",
        ),
        (
            chosen(pace=0.5),
            (
                "the first of 2 with room: warm, least loaded, longest idle; warm, 1 of 4 in use,"
                " takes 0.5 x the usual time"
            ),
        ),
        (chosen(among=1, warm=False), "it alone had room; cold, 1 of 4 in use"),
        (chosen(kept=True), "it has had this session before; warm, 1 of 4 in use"),
    ],
)
def test_a_choice_is_told_in_a_sentence(how: Chosen, said: str) -> None:
    assert why(how) == said

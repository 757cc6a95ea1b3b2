"""What became of the latest tasks: who was given each, why, and how it ended. Pure, and bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mediafleet_common.reports.task import AttemptExplained, TaskExplained, TaskState
from mediafleet_scheduler.core.workers.choice.candidates import Chosen
from mediafleet_scheduler.core.workers.steps import Answer, Send
from mediafleet_scheduler.core.workers.views import InPool, Target, Worker

_MOST_ENDED: Final = 1000
"""Tasks that are over and still explained."""
_MOST_ATTEMPTS: Final = 20
"""Of one task; the first ones are left out."""
_MOST_WORDS: Final = 500


@dataclass(slots=True)
class _Tried:
    chosen: Chosen | None
    worker: str
    began: float
    ended: float | None = None
    outcome: str | None = None
    pod: InPool | None = None


@dataclass(slots=True)
class _Course:
    target: Target
    session: str | None
    came: float
    tried: list[_Tried] = field(default_factory=list)
    ended: float | None = None
    state: TaskState = TaskState.WAITING
    words: str = ""


class Trail:
    """Takes what happens to all tasks, and explains one of them."""

    def __init__(self, most_ended: int = _MOST_ENDED) -> None:
        self._most_ended = most_ended
        self._open: dict[str, _Course] = {}
        self._ended: OrderedDict[str, _Course] = OrderedDict()

    def came(self, task: str, target: Target, session: str | None, now: float) -> None:
        """A task has come."""
        self._open[task] = _Course(target, session, now)

    def given(self, step: Send, now: float, pod: InPool | None = None) -> None:
        """A task goes to a worker, which is a pod of a pool, if it is named."""
        if (course := self._open.get(step.task)) is not None:
            course.state = TaskState.RUNNING
            course.tried.append(_Tried(step.chosen, step.worker, now, pod=pod))
            del course.tried[:-_MOST_ATTEMPTS]

    def came_back(self, task: str, outcome: str, now: float) -> None:
        """A task's latest attempt is over: what came of it."""
        course = self._open.get(task)
        if course is not None and course.tried and course.tried[-1].ended is None:
            course.state = TaskState.WAITING
            course.tried[-1].ended = now
            course.tried[-1].outcome = outcome[:_MOST_WORDS]

    def answered(self, step: Answer, now: float) -> None:
        """A task is over."""
        if step.task not in self._open:
            return
        state = TaskState(step.ending.value)
        self.came_back(step.task, step.words or state.value.replace("_", " "), now)
        course = self._open.pop(step.task)
        course.state, course.ended, course.words = state, now, step.words[:_MOST_WORDS]
        self._ended[step.task] = course
        if len(self._ended) > self._most_ended:
            self._ended.popitem(last=False)

    def explained(
        self,
        task: str,
        not_given_to: Mapping[str, str],
        now: float,
        pod_of: Callable[[str], InPool | None] = lambda _: None,
    ) -> TaskExplained | None:
        """What became of a task; `None`: unknown, or long over. `pod_of`: of workers by their
        ids."""
        course = self._open.get(task) or self._ended.get(task)
        if course is None:
            return None
        others = not_given_to if course.state is TaskState.WAITING else {}
        pods = {worker: pod_of(worker) for worker in others}
        return TaskExplained(
            id=task,
            pipeline=course.target.pipeline.value,
            model=course.target.model,
            session=course.session,
            state=course.state,
            words=course.words,
            seconds=(now if course.ended is None else course.ended) - course.came,
            attempts=[_explained(each, course) for each in course.tried],
            not_given_to=dict(others),
            pods={worker: pod.pod for worker, pod in pods.items() if pod is not None},
        )


def _explained(tried: _Tried, course: _Course) -> AttemptExplained:
    pod, chosen = tried.pod, tried.chosen
    worker = Worker(tried.worker, "") if chosen is None else chosen.worker
    offer = worker.offers.get(course.target)
    return AttemptExplained(
        worker=tried.worker,
        name=worker.name,
        known_as=worker.known_as,
        pod=None if pod is None else pod.pod,
        pool=None if pod is None else pod.pool,
        version=None if offer is None else offer.version,
        hardware=list(worker.hardware),
        why="" if chosen is None else why(chosen),
        after_seconds=tried.began - course.came,
        seconds=None if tried.ended is None else tried.ended - tried.began,
        outcome=tried.outcome,
    )


def why(chosen: Chosen) -> str:
    """Why a worker was chosen, for people."""
    load = f"{chosen.in_flight} of {chosen.capacity} in use"
    warmth = "warm" if chosen.warm else "cold"
    if chosen.pace != 1:
        load += f", takes {chosen.pace:.2g} x the usual time"
    if chosen.kept:
        return f"it has had this session before; {warmth}, {load}"
    if chosen.among == 1:
        return f"it alone had room; {warmth}, {load}"
    return (
        f"the first of {chosen.among} with room: warm, least loaded, longest idle; {warmth}, {load}"
    )

"""What a dispatcher keeps of each task, attempt and worker, and of sessions."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from mediafleet_scheduler.core.workers.choice.candidates import Candidate
from mediafleet_scheduler.core.workers.choice.versions import too_old
from mediafleet_scheduler.core.workers.views import Target, Worker

_MOST_SESSIONS: Final = 10_000


@dataclass(slots=True)
class Task:
    """A task that has no answer yet."""

    id: str
    target: Target
    deadline: float
    session: str | None = None
    """Tasks of one session go to one worker while it has room."""
    excluded: set[str] = field(default_factory=set)
    """Workers that failed it or died with it."""
    faulty: list[str] = field(default_factory=list)
    """Those that failed it, in order."""
    deaths: int = 0
    attempt: int | None = None
    """Where it runs now."""
    begun: bool = False
    """Whether its caller has had the first byte."""
    words: str = ""
    earlier: set[int] = field(default_factory=set)
    """Attempts whose workers are gone, or were another broker's: the first result is taken."""


@dataclass(slots=True)
class Attempt:
    """A task on a worker; it stays when the task is over, until its result comes."""

    id: int
    task: str
    """Stays when the task is over: the attempt goes on."""
    target: Target
    worker: str
    """Empty: another broker's, which is gone."""
    began: float
    known_as: str | None = None
    """Whose the worker's secret is: nobody else may post the result."""


@dataclass(slots=True)
class Standing:
    """What is known of a worker beside what it declared."""

    worker: Worker
    last_given: int
    draining: bool = False
    faults: int = 0
    times: int = 0
    out_until: float = 0.0
    full_until: dict[Target, float] = field(default_factory=dict)
    attempts: dict[Target, set[int]] = field(default_factory=dict)

    def load(self, target: Target | None = None) -> int:
        """Attempts on it; of one model, if it is named."""
        if target is not None:
            return len(self.attempts.get(target, ()))
        return sum(map(len, self.attempts.values()))

    def ids(self) -> list[int]:
        """Its attempts."""
        return sorted(id_ for each in self.attempts.values() for id_ in each)

    def candidate(
        self, target: Target, now: float, pace: float, one_task: float, least: str | None = None
    ) -> Candidate:
        """As a choice looks at it; `least` is the version of the model's runner that is asked
        for."""
        closed = self._closed(target, now, least)
        return Candidate(self.worker, self.load(target), self.last_given, closed, pace, one_task)

    def is_too_old(self, target: Target, least: str | None) -> bool:
        """Whether its runner of a model is not known to be of a version or a later one."""
        return too_old(self.worker.offers[target].version, least)

    def _closed(self, target: Target, now: float, least: str | None) -> str | None:
        if self.draining:
            return "drains"
        if now < self.out_until:
            return f"left out after failures, for {self.out_until - now:.0f} s more"
        if now < self.full_until.get(target, 0.0):
            return "said that it was full"
        if self.is_too_old(target, least):
            known = self.worker.offers[target].version
            return f"its runner's version is {known or 'not declared'}, {least} is asked for"
        return None


class Sessions:
    """Which worker had a session last; the longest unused ones are forgotten."""

    def __init__(self, most: int = _MOST_SESSIONS) -> None:
        self._most = most
        self._workers: OrderedDict[tuple[Target, str], str] = OrderedDict()

    def of(self, task: Task) -> str | None:
        """The worker of a task's session; `None`: it has none."""
        return None if task.session is None else self._workers.get((task.target, task.session))

    def given(self, task: Task, worker: str) -> None:
        """A worker is given a task."""
        if task.session is None:
            return
        key = (task.target, task.session)
        self._workers[key] = worker
        self._workers.move_to_end(key)
        if len(self._workers) > self._most:
            self._workers.popitem(last=False)

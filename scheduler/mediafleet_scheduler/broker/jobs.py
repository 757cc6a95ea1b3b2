"""The broker's tasks on the clock: the dispatcher's steps are carried out here."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.reports.task import TaskExplained
from mediafleet_scheduler.broker.inputs import Folder
from mediafleet_scheduler.broker.metrics import BrokerMetrics
from mediafleet_scheduler.broker.work.counted import Work
from mediafleet_scheduler.core.workers.choice.attempts import MOST, Given
from mediafleet_scheduler.core.workers.dispatch import Dispatcher
from mediafleet_scheduler.core.workers.steps import Answer, Ending, Rules, Send, Step, Verdict
from mediafleet_scheduler.core.workers.trail import Trail
from mediafleet_scheduler.core.workers.views import InPool, Target, Worker

_EVENTS_AT_ONCE: Final = 64
"""Chunks of a stream that wait for its caller; then the worker is held back."""


class TaskFailedError(Exception):
    """A task has no result."""

    def __init__(self, ending: Ending, words: str) -> None:
        super().__init__(words or ending.value)
        self.ending = ending
        self.words = words


@dataclass(frozen=True, slots=True)
class Whole:
    """A result that is there as a whole."""

    body: Mapping[str, object]
    files: Mapping[str, Path] = field(default_factory=dict)
    """By the names that the body uses; in the job's folder, which goes when the job is over."""


class Events:
    """A result that comes bit by bit (text/event-stream)."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_EVENTS_AT_ONCE)
        self._broken = False

    async def put(self, chunk: bytes) -> None:
        """One more bit; waits while the caller is slow, and goes nowhere once that was all."""
        if not self._broken:
            await self._queue.put(chunk)

    async def end(self) -> None:
        """That was all."""
        if not self._broken:
            await self._queue.put(None)

    def break_off(self) -> None:
        """No more is passed on; whoever waits to put something goes on."""
        self._broken = True
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def get(self) -> bytes | None:
        """The next bit; `None`: that was all.

        Raises:
            TaskFailedError: the rest will never come.
        """
        chunk = await self._queue.get()
        if chunk is None and self._broken:
            raise TaskFailedError(Ending.LOST, "the worker is gone")
        return chunk


Result = Whole | Events


@dataclass(frozen=True, slots=True)
class Input:
    """What a task's request holds beside its JSON."""

    request: Mapping[str, object]
    file: Path | None = None


class Outlet(Protocol):
    """Where a worker's jobs are written."""

    def send(self, attempt: int, target: Target, task: Input) -> None:
        """Send the worker a job."""


@dataclass(slots=True)
class Job:
    """One task, from its coming to its answer."""

    id: str
    target: Target
    input: Input
    folder: Folder
    """Files of this job alone."""
    came: float
    result: asyncio.Future[Result]
    caller: str | None = field(default=None, repr=False)
    """Address that it came from; `None`: not known. It goes with the job."""
    given: list[Given] = field(default_factory=list)
    """Its latest attempts."""


class Jobs:
    """All tasks of a broker."""

    def __init__(
        self,
        metrics: BrokerMetrics,
        rules: Rules | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self._metrics = metrics
        self._trail = Trail()
        self._work = Work(metrics.worker_tasks, metrics.worker_seconds, metrics.worker_units)
        self._clock = clock
        self._dispatcher = Dispatcher(lambda: secrets.randbits(63) or 1, rules)
        self._outlets: dict[str, Outlet] = {}
        self._jobs: dict[str, Job] = {}
        metrics.in_flight.set_function(lambda: len(self._jobs))
        self._events: dict[str, Events] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        """When the timer is due."""
        self.holds: Callable[[Worker], bool] = lambda _: False
        """Whether a worker that registers is given nothing yet."""
        self.pod_of: Callable[[Worker], InPool | None] = lambda _: None
        """The pod of a pool that a worker is; `None`: it is none."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when a worker comes or goes."""
        self.on_lost: Callable[[int], None] = lambda _: None
        """Called when a worker goes, with the number of tasks that it has then."""
        self.on_given: Callable[[Job], None] = lambda _: None
        """Called when a worker is given a task."""

    @property
    def open(self) -> Iterable[Job]:
        """Those that have no answer yet."""
        return self._jobs.values()

    @property
    def dispatcher(self) -> Dispatcher:
        """For those who show what there is."""
        return self._dispatcher

    def now(self) -> float:
        """The time that deadlines are in."""
        return self._clock.monotonic()

    # Workers

    def connected(self, worker: Worker, outlet: Outlet) -> None:
        """A worker has registered."""
        self._outlets[worker.id] = outlet
        self._work.connected(worker)
        self._metrics.workers.set(len(self._outlets))
        held = self.holds(worker)
        self._follow(self._dispatcher.connected(worker, self.now(), held=held))
        self.on_change()

    def lost(self, worker: str) -> None:
        """A worker's stream has ended."""
        if self._outlets.pop(worker, None) is None:
            return
        self._metrics.workers.set(len(self._outlets))
        now = self.now()
        self.on_lost(self._dispatcher.load(worker))
        for task in self._dispatcher.tasks_of(worker):
            self._trail.came_back(task, "the worker is gone", now)
        self._work.lost(worker)
        self._follow(self._dispatcher.lost(worker, now))
        self.on_change()

    def drain(self, worker: str) -> None:
        """A worker is given nothing any more; what it has goes on."""
        self._dispatcher.drain(worker, self.now())

    def undrain(self, worker: str) -> None:
        """A worker may be given tasks after all."""
        self._follow(self._dispatcher.undrain(worker, self.now()))

    def asks_for(self, least: Mapping[Target, str]) -> None:
        """The least version of each model's runner that is given tasks; others: any."""
        self._follow(self._dispatcher.asks_for(least, self.now()))

    # Tasks

    def submit(
        self,
        target: Target,
        task: Input,
        folder: Folder,
        seconds: float,
        session: str | None = None,
        name: str | None = None,
        caller: str | None = None,
        earlier: Sequence[Given] = (),
    ) -> Job:
        """A task has come; `job.result` is its one answer, within `seconds`. `name`: what it is
        called already. `caller`: address that it came from. `earlier`: attempts of the broker that
        had it before."""
        loop = asyncio.get_running_loop()
        name, given = name or secrets.token_hex(16), list(earlier)
        job = Job(name, target, task, folder, self.now(), loop.create_future(), caller, given)
        self._jobs[job.id] = job
        self._trail.came(job.id, target, session, job.came)
        due = job.came + seconds
        self._follow(self._dispatcher.submitted(job.id, target, due, job.came, session, earlier))
        return job

    def explained(self, task: str) -> TaskExplained | None:
        """Where a task is, who was given it and why; `None`: unknown, or long over."""
        now, workers = self.now(), {each.id: each for each in self._dispatcher.workers}
        why_not = self._dispatcher.why_not(task, now)
        return self._trail.explained(task, why_not, now, lambda each: self.pod_of(workers[each]))

    def cancel(self, job: Job) -> None:
        """Its caller has gone; harmless when it is over."""
        self._follow(self._dispatcher.cancelled(job.id))

    # Results

    def job_of(self, attempt: int) -> Job | None:
        """The job that a result is for, counting what it is; `None`: nobody waits for it."""
        verdict = self._dispatcher.verdict(attempt)
        self._metrics.results.labels(verdict.value).inc()
        task = self._dispatcher.task_of(attempt)
        return self._jobs.get(task) if verdict is Verdict.WANTED and task else None

    def succeeded(self, attempt: int, result: Whole | None = None) -> None:
        """An attempt's whole result has come; `None`: nobody waits for it, or it was streamed."""
        task = self._dispatcher.task_of(attempt)
        job = self._jobs.get(task) if task else None
        if job is not None and result is not None and not job.result.done():
            job.result.set_result(result)
        self._overtaken(attempt)
        self._follow(self._dispatcher.succeeded(attempt, self.now()))

    def streams(self, attempt: int) -> Events | None:
        """An attempt's result begins to come bit by bit; `None`: nobody waits for it."""
        task = self._dispatcher.task_of(attempt)
        job = self._jobs.get(task) if task else None
        if job is None or job.result.done():
            return None
        self._overtaken(attempt)
        self._dispatcher.first_byte(attempt)
        self._events[job.id] = events = Events()
        job.result.set_result(events)
        return events

    def failed(self, attempt: int, words: str) -> None:
        """A worker has answered with an error."""
        now = self.now()
        if (task := self._dispatcher.task_of(attempt)) is not None:
            self._trail.came_back(task, words, now)
        self._follow(self._dispatcher.failed(attempt, words, now))

    # How

    def _overtaken(self, attempt: int) -> None:
        """A result is there of a worker that is gone: who has the task now does it in vain."""
        task = self._dispatcher.task_of(attempt)
        if task is not None and self._dispatcher.is_earlier(attempt):
            self._trail.came_back(task, "an earlier worker's result came first", self.now())

    def _follow(self, steps: list[Step]) -> None:
        # A worker that cannot be sent a job is lost, which brings further steps.
        for step in steps:
            if isinstance(step, Send):
                self._send(step)
            else:
                self._answer(step)
        self._set_timer()

    def _send(self, step: Send) -> None:
        job = self._jobs[step.task]
        now = self.now()
        self._metrics.attempted(job.target)
        pod = None if step.chosen is None else self.pod_of(step.chosen.worker)
        self._trail.given(step, now, pod)
        self._work.given(step, now)
        job.given = [*job.given, Given(step.attempt, self._dispatcher.known_as(step.attempt))][
            -MOST:
        ]
        self.on_given(job)
        self._outlets[step.worker].send(step.attempt, job.target, job.input)

    def _answer(self, step: Answer) -> None:
        job = self._jobs.pop(step.task)
        now = self.now()
        self._trail.answered(step, now)
        self._work.answered(step, job.target, job.input.request, now)
        self._metrics.ended(job.target, step.ending, now - job.came)
        events = self._events.pop(step.task, None)
        if events is not None and step.ending is not Ending.DONE:
            events.break_off()
        if not job.result.done():
            job.result.set_exception(TaskFailedError(step.ending, step.words))

    def _set_timer(self) -> None:
        moment = self._dispatcher.next_moment()
        if moment == self._due:
            return
        self._due = moment
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if moment is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, moment - self.now()), self._time_passed)

    def _time_passed(self) -> None:
        self._timer = self._due = None
        self._follow(self._dispatcher.passed(self.now()))

    def close(self) -> None:
        """No timers any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

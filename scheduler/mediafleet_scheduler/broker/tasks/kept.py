"""Tasks that outlive their caller's connection, until their results expire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mediafleet_common.reports.task import TaskState
from mediafleet_scheduler.broker.inputs import Folder, Inputs
from mediafleet_scheduler.broker.jobs import Events, Input, Job, Jobs, TaskFailedError
from mediafleet_scheduler.broker.tasks.messages import Task
from mediafleet_scheduler.broker.tasks.problems import ProblemError
from mediafleet_scheduler.core.workers.choice.attempts import Given
from mediafleet_scheduler.core.workers.views import Target


@dataclass(slots=True)
class Kept:
    """A task and what it leaves on disk."""

    job: Job
    seconds: float
    """How long it may wait and run in all."""
    settled: asyncio.Future[None]
    """Done when its answer is the one that everybody gets, or when it is not ours any more."""
    moved: bool = False
    """Whether another broker answers for it."""
    version: int | None = None
    """Of its owner in the shared ledger; `None`: it is not there."""
    written: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it is, or cannot be, in the shared ledger."""
    deadline: float = 0.0
    """Unix time; of tasks in the shared ledger."""
    session: str | None = None
    """Of tasks in the shared ledger."""
    expires: float | None = None
    """When it is thrown away, on the jobs' clock; `None`: it has no result yet."""
    timer: asyncio.TimerHandle | None = None
    read: bool = False
    """Whether somebody reads its events: they come once."""


class KeptTasks:
    """By id. `keep_seconds` after its answer a task is thrown away with its files."""

    def __init__(
        self, jobs: Jobs, inputs: Inputs, spool: Path, keep_seconds: float, most: int
    ) -> None:
        self._jobs = jobs
        self._inputs = inputs
        self._spool = spool
        self._keep_seconds = keep_seconds
        self._most = most
        self._kept: dict[str, Kept] = {}
        self.on_answer: Callable[[Kept], None] = self.settle
        """Called with each task that has an answer; it settles the task, or gives it up."""
        self.on_given: Callable[[Kept], None] = lambda _: None
        """Called when a worker is given a task that is here."""
        jobs.on_given = self._given

    def folder(self) -> Folder:
        """A folder for one more task.

        Raises:
            ProblemError: there are too many.
        """
        if len(self._kept) >= self._most:
            fix = "wait, read and DELETE results, or raise most_kept_tasks of the broker's settings"
            raise ProblemError(429, "too_many_tasks", f"{self._most} tasks are kept", fix)
        return self.new_folder()

    def new_folder(self) -> Folder:
        """A folder for one more task, however many there are."""
        return Folder(self._spool, "task-")

    def submit(
        self,
        target: Target,
        task: Input,
        folder: Folder,
        seconds: float,
        session: str | None,
        name: str | None = None,
        earlier: Sequence[Given] = (),
    ) -> Kept:
        """A task has come; `name`: what it is called already; `earlier`: attempts of the broker
        that had it before."""
        job = self._jobs.submit(target, task, folder, seconds, session, name, earlier=earlier)
        settled = asyncio.get_running_loop().create_future()
        kept = self._kept[job.id] = Kept(job, seconds, settled)
        job.result.add_done_callback(lambda _: self._answered(kept))
        return kept

    def all(self) -> list[Kept]:
        """Those that are here."""
        return list(self._kept.values())

    def get(self, name: str) -> Kept | None:
        """A task; `None`: it is not here."""
        return self._kept.get(name)

    def state(self, kept: Kept) -> Task:
        """A task as it stands."""
        job = kept.job
        explained = self._jobs.explained(job.id)
        left = None if kept.expires is None else max(0.0, kept.expires - self._jobs.now())
        if explained is None:
            state, words = _ended(job)
            return Task(
                id=job.id,
                pipeline=job.target.pipeline.value,
                model=job.target.model,
                state=state,
                words=words,
                expires_in_seconds=left,
            )
        now_at = explained.attempts[-1] if explained.state is TaskState.RUNNING else None
        return Task(
            id=job.id,
            pipeline=explained.pipeline,
            model=explained.model,
            state=explained.state,
            words=explained.words,
            attempts=len(explained.attempts),
            worker=None if now_at is None else now_at.name or now_at.worker,
            expires_in_seconds=left,
        )

    def drop(self, kept: Kept) -> None:
        """Cancel a task if it is not over, and throw away what it left."""
        self._kept.pop(kept.job.id, None)
        if not kept.settled.done():
            kept.settled.set_result(None)
        if kept.timer is not None:
            kept.timer.cancel()
        self._jobs.cancel(kept.job)
        if kept.job.result.done() and not kept.job.result.cancelled():
            kept.job.result.exception()  # Nobody else may have asked for it.
        if kept.job.input.file is not None:
            self._inputs.withdraw(kept.job.input.file)
        kept.job.folder.remove()

    def close(self) -> None:
        """Nothing is kept any more."""
        for each in tuple(self._kept.values()):
            self.drop(each)

    def settle(self, kept: Kept) -> None:
        """Its answer is the one that everybody gets."""
        if kept.job.id not in self._kept or kept.settled.done():
            return
        kept.settled.set_result(None)
        job = kept.job
        if job.input.file is not None:
            self._inputs.withdraw(job.input.file)
        streams = job.result.exception() is None and isinstance(job.result.result(), Events)
        keep = self._keep_seconds + (kept.seconds if streams else 0.0)
        kept.expires = self._jobs.now() + keep
        loop = asyncio.get_running_loop()
        kept.timer = loop.call_later(keep, lambda: self.drop(kept))

    def give_up(self, kept: Kept) -> None:
        """Another broker answers for it."""
        kept.moved = True
        self.drop(kept)

    def _given(self, job: Job) -> None:
        if (kept := self._kept.get(job.id)) is not None:
            self.on_given(kept)

    def _answered(self, kept: Kept) -> None:
        if kept.job.id in self._kept and not kept.job.result.cancelled():
            self.on_answer(kept)


def _ended(job: Job) -> tuple[TaskState, str]:
    """How a task ended that is over for so long that nothing else says."""
    error = job.result.exception() if job.result.done() else None
    if isinstance(error, TaskFailedError):
        return TaskState(error.ending.value), error.words
    return TaskState.DONE, ""

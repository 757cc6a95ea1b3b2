"""Tasks that outlive their caller's connection, until their results expire."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mediafleet_common.reports.task import TaskState
from mediafleet_scheduler.broker.inputs import Inputs
from mediafleet_scheduler.broker.jobs import Events, Input, Job, Jobs, TaskFailedError
from mediafleet_scheduler.broker.models import ModelEntry
from mediafleet_scheduler.broker.tasks.messages import Task
from mediafleet_scheduler.broker.tasks.problems import ProblemError


@dataclass(slots=True)
class Kept:
    """A task and what it leaves on disk."""

    job: Job
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

    def folder(self) -> Path:
        """A folder for one more task.

        Raises:
            ProblemError: there are too many.
        """
        if len(self._kept) >= self._most:
            fix = "wait, read and DELETE results, or raise most_kept_tasks of the broker's settings"
            raise ProblemError(429, "too_many_tasks", f"{self._most} tasks are kept", fix)
        return Path(tempfile.mkdtemp(dir=self._spool, prefix="task-"))

    def submit(
        self, entry: ModelEntry, task: Input, folder: Path, seconds: float, session: str | None
    ) -> Kept:
        """A task has come."""
        job = self._jobs.submit(entry.target, task, folder, seconds, session)
        kept = self._kept[job.id] = Kept(job)
        job.result.add_done_callback(lambda _: self._answered(kept, seconds))
        return kept

    def find(self, name: str) -> Kept:
        """A task.

        Raises:
            ProblemError: it is unknown, or has expired.
        """
        kept = self._kept.get(name)
        if kept is None:
            said = "there is no such task: it never was, was deleted, or its result has expired"
            raise ProblemError(404, "unknown_task", said, "submit it again")
        return kept

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
        if kept.timer is not None:
            kept.timer.cancel()
        self._jobs.cancel(kept.job)
        if not kept.job.result.cancelled():
            kept.job.result.exception()  # Nobody else may have asked for it.
        if kept.job.input.file is not None:
            self._inputs.withdraw(kept.job.input.file)
        shutil.rmtree(kept.job.folder, ignore_errors=True)

    def close(self) -> None:
        """Nothing is kept any more."""
        for each in tuple(self._kept.values()):
            self.drop(each)

    def _answered(self, kept: Kept, seconds: float) -> None:
        job = kept.job
        if job.id not in self._kept or job.result.cancelled():
            return
        streams = job.result.exception() is None and isinstance(job.result.result(), Events)
        keep = self._keep_seconds + (seconds if streams else 0.0)
        kept.expires = self._jobs.now() + keep
        loop = asyncio.get_running_loop()
        kept.timer = loop.call_later(keep, lambda: self.drop(kept))


def _ended(job: Job) -> tuple[TaskState, str]:
    """How a task ended that is over for so long that nothing else says."""
    error = job.result.exception() if job.result.done() else None
    if isinstance(error, TaskFailedError):
        return TaskState(error.ending.value), error.words
    return TaskState.DONE, ""

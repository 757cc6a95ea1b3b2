"""What became of one task of the AI broker: `GET /explain?task=ID` on its HTTP port, as JSON.

It holds neither the request nor its result.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from mediafleet_common.api.base import Model


class TaskState(StrEnum):
    """Where a task is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """Workers failed it."""
    LOST = "lost"
    """The workers that had it are gone."""
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


class AttemptExplained(Model):
    """One worker that was given the task."""

    worker: str
    """The worker's connection."""
    name: str | None = None
    """What it calls itself; null: stock workers have no name."""
    known_as: str | None = None
    """Whose its secret is, by the broker's file of workers; null: the secret is shared."""
    pod: str | None = None
    """Pod of an AIWorkerPool that it is, NAMESPACE/NAME, as the broker saw it; null: it is none."""
    pool: str | None = None
    """That pool's name."""
    version: str | None = None
    """Of its runner of the model, as it says; null: not told."""
    hardware: list[str] = Field(default_factory=list)
    """Names of its GPUs, as it says."""
    why: str
    """Why this worker was chosen."""
    after_seconds: float
    """When, counted from the task's coming."""
    seconds: float | None = None
    """How long it had it; null: it still has."""
    outcome: str | None = None
    """What came of it, in the worker's own words where it failed; null: nothing yet."""


class TaskExplained(Model):
    """One task."""

    id: str
    """The task."""
    pipeline: str
    """What it asks for."""
    model: str
    """The model."""
    session: str | None = None
    """Its session, which keeps to one worker where it has room."""
    state: TaskState
    """Where it is."""
    words: str = ""
    """Why it failed."""
    seconds: float
    """Since it came, or until its answer."""
    attempts: list[AttemptExplained] = Field(default_factory=list)
    """Who was given it, in order."""
    not_given_to: dict[str, str] = Field(default_factory=dict)
    """Of a task that waits: why each worker of its model is not given it."""
    pods: dict[str, str] = Field(default_factory=dict)
    """Pods of AIWorkerPools that those workers are."""

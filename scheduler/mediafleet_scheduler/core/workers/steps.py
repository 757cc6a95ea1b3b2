"""What a dispatcher goes by, and what it asks its shell to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mediafleet_scheduler.core.workers.choice.candidates import Chosen

FULL_WORDS: Final = "no workers can process job requested"
"""What a stock worker reports when it has no room (go-livepeer server/ai_worker.go)."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How often a task is tried, and when a worker is left out; times in seconds."""

    max_attempts: int | None = 3
    """A task has failed when so many workers have failed it; null: when all have."""
    full_pause_seconds: float = 1.0
    """A worker that said it was full gets no task of the same model for so long."""
    faults: int = 3
    """A worker that failed so many tasks in a row is left out."""
    back_off_seconds: float = 15.0
    """How long it is left out the first time; doubled each time after."""
    max_back_off_seconds: float = 600.0
    """And at most so long."""


class Ending(StrEnum):
    """How a task ended."""

    DONE = "done"
    FAILED = "failed"
    """Workers failed it; the last one's words are the answer."""
    LOST = "lost"
    """The workers that had it are gone."""
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Send:
    """Give an attempt to a worker."""

    attempt: int
    task: str
    worker: str
    chosen: Chosen | None = field(default=None, compare=False)
    """Why this worker."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A task is over."""

    task: str
    ending: Ending
    words: str = ""
    """Why it failed, from the last worker."""
    worker: str | None = None
    attempt: int | None = field(default=None, compare=False)
    """Whose result it is."""


Step = Send | Answer


class Verdict(StrEnum):
    """What a result is."""

    WANTED = "wanted"
    LATE = "late"
    """Its task is over, or was given to another worker."""
    UNKNOWN = "unknown"
    """No such attempt: twice, or of somebody else."""

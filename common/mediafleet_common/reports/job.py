"""Where one egress job is, by the ledger: `GET /explain?job=ID` of an egress desk, as JSON.

It holds neither the request nor its URLs.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from mediafleet_common.api.base import Model


class JobState(StrEnum):
    """Where a job is."""

    WAITING = "waiting"
    """For room, or it was refused a moment ago and its place is kept."""
    STARTING = "starting"
    """A pod was chosen and has not answered yet."""
    RUNNING = "running"
    ENDED = "ended"
    """Over, or its start failed."""


class JobExplained(Model):
    """One job on one Redis."""

    id: str
    """The egress id."""
    state: JobState
    """Where it is."""
    fleet: str
    """NAMESPACE/NAME of the fleet."""
    type: str
    """Its type."""
    cores: float
    """CPUs that it is counted with."""
    since: float
    """Unix time: when a place was claimed, or since when it waits."""
    started: float | None = None
    """Unix time of the pod's yes; null: it has not said one."""
    pod: str | None = None
    """The pod that it was given to; null: none yet."""
    error: str | None = None
    """What the pod answered where the start failed."""


class JobsExplained(Model):
    """What each Redis of a desk knows of an id; none: it is not known, or no longer."""

    jobs: list[JobExplained] = Field(default_factory=list)
    """One for each ledger that knows it."""
    kept_seconds: int
    """How long a job that is over is remembered."""
    unread: list[str] = Field(default_factory=list)
    """Ledgers that could not be asked, and why."""

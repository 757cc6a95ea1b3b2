"""What the page of an egress desk shows: `GET /ui/data` on its HTTP port, as JSON, and the same at
each change on `/ui/events`. It holds neither secrets nor names of rooms.

It has no time of its own: two of the same state are the same text.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from mediafleet_common.api.base import Model
from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Mode
from mediafleet_common.api.names import PodState

OTHER: Final = "other"
"""Jobs on a pod that no desk has placed: their type is not known one by one."""


class PodShown(Model):
    """One pod."""

    name: str
    """The pod."""
    state: PodState
    """What it is to its fleet."""
    cpus: float | None
    """CPUs it has; null: unknown."""
    free: float | None
    """CPUs that the next job may take; null: unknown."""
    jobs: dict[str, int] = Field(default_factory=dict)
    """How many it has of each request type, claims included, and of `other`."""
    used: dict[str, float] = Field(default_factory=dict)
    """CPUs that those count with."""
    load_known: bool = True
    """Whether it has lately told its load; else numbers are by what desks placed on it."""
    why: str | None = None
    """Why it is given no job, or drains; null: it takes jobs."""


class FleetShown(Model):
    """One fleet."""

    namespace: str
    """Empty for a fleet from a file."""
    name: str
    """Name of the fleet."""
    mode: Mode
    """How pods are chosen."""
    why_unknown: str | None = None
    """Why the numbers below mean nothing; null: they do."""
    queued: dict[str, int] = Field(default_factory=dict)
    """Requests that wait for room, and refused ones whose place is kept, by type."""
    unconfirmed: dict[str, int | None] = Field(default_factory=dict)
    """By draining pod: jobs of which livekit-server has not confirmed the end; null: unknown."""
    pods: list[PodShown] = Field(default_factory=list)
    """By name."""


class PlacementShown(Model):
    """A job that was given to a pod."""

    at: float
    """Unix time."""
    egress_id: str
    """The job."""
    type: RequestType
    """What it is."""
    fleet: str
    """`namespace/name` of its fleet; only the name where it is from a file."""
    pod: str
    """The pod."""
    started: bool
    """Whether the pod has said that it runs."""


class FleetsPage(Model):
    """All that the page shows."""

    fleets: list[FleetShown] = Field(default_factory=list)
    """In the order of namespace and name."""
    placements: list[PlacementShown] = Field(default_factory=list)
    """The newest of those that run, the last one first."""

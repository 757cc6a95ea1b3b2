"""Why the next job of a type would go where: `GET /explain?type=track` on a desk's HTTP port, as
JSON. It holds neither secrets nor names of rooms.
"""

from __future__ import annotations

from pydantic import Field

from mediafleet_common.api.base import Model
from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Mode
from mediafleet_common.api.names import PodState


class KeyPart(Model):
    """One part of the key by which a mode orders pods; the smallest key gets the job, and a part
    counts only where all before it are equal."""

    name: str
    """What it is."""
    value: bool | float | str
    """False comes before true."""


class RankedPod(Model):
    """A pod that the job fits, in the order of a mode."""

    name: str
    """The pod."""
    key: list[KeyPart]
    """Read it from left to right."""


class ModeExplained(Model):
    """What one mode would do."""

    mode: Mode
    """Which mode."""
    in_force: bool
    """Whether it is the fleet's."""
    order: list[RankedPod]
    """The pods that the job fits, the best first."""
    drawn_from: list[str] = Field(default_factory=list)
    """Pods whose load is unknown: two of them are drawn at random, and only these compete."""
    bids: dict[str, float] = Field(default_factory=dict)
    """What a stock pod would bid upstream's client in this mode, by pod; -1: it would not."""


class PodExplained(Model):
    """A pod, and whether the job fits."""

    name: str
    """The pod."""
    state: PodState
    """What it is to its fleet."""
    cpus: float | None
    """CPUs it has; null: unknown."""
    free_cpus: float | None
    """CPUs that the next job may take; null: unknown."""
    jobs: int
    """Jobs on it, claims included."""
    load_known: bool
    """Whether all that runs there is known; else only what was placed by a desk."""
    refused_lately: bool
    """Whether it has just turned something down, and is asked last for a moment."""
    why_not: str | None = None
    """Why it is not given the job; null: it is a candidate."""


class FleetExplained(Model):
    """One fleet."""

    namespace: str
    """Empty for a fleet from a file."""
    name: str
    """Name of the fleet."""
    priority: int
    """The highest is asked first."""
    some_rooms_only: bool
    """Whether it takes only some rooms; that is not looked at here."""
    why_not: str | None = None
    """Why it takes no job of the type at all; null: it does."""
    needs_cpus: float = 0.0
    """CPUs that the job would need here."""
    needs_memory_gb: float = 0.0
    """Memory that it would be counted with."""
    waiting: int = 0
    """Requests that have been waiting for room, and come first."""
    pods: list[PodExplained] = Field(default_factory=list)
    """By name."""
    modes: list[ModeExplained] = Field(default_factory=list)
    """What each mode would do."""


class Explanation(Model):
    """All fleets, in the order in which they are asked."""

    type: RequestType
    """What the next job would be."""
    at: float
    """Unix time of what is said here."""
    fleets: list[FleetExplained]
    """The first that takes the type and has room gets the job."""

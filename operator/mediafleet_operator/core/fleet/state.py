"""What the operator remembers of one fleet beside its status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mediafleet_common.api.shared import DrainStatus
from mediafleet_operator.core.autoscaling.model import Found, Past, Scaling
from mediafleet_operator.core.flag_head import Head
from mediafleet_operator.core.fleet.actions import Create
from mediafleet_operator.core.fleet.model import Memory

Manifest = Mapping[str, Any]
NEVER: Final = float("-inf")


@dataclass(frozen=True, slots=True)
class Made:
    """An object as it was last seen or made to be; an empty manifest: it is not there."""

    manifest: Manifest
    at: float
    """Monotonic time."""


@dataclass(frozen=True, slots=True)
class Scaler:
    """The ScaledObject or HPA as it was last made, and what it then said."""

    made: Made
    found: Found


@dataclass(slots=True)
class FleetState:
    """The state of the resource with one uid. It is lost with the process, without harm.

    A resource that is deleted and made again has another uid, so it gets a state of its own.
    """

    uid: str
    met_at: float | None = None
    """When this process first looked at it, monotonic."""
    early: list[Create] = field(default_factory=list)
    """Pods that were made before the first loads were read, and are told in no Event yet."""
    loads_wanted_since: float | None = None
    """Since when a choice among its pods waits for their loads, monotonic."""

    memory: Memory = field(default_factory=Memory)
    template: str = ""
    """The template that the memory is of."""
    problem: tuple[int, str | None] | None = None
    """A generation, and why no pod can be made of it."""
    ended: list[DrainStatus] = field(default_factory=list)
    """Drains that ended and are in no status yet."""
    idle_deleted: set[str] = field(default_factory=set)
    """Uids of pods that were deleted as idle and are still there."""

    restarts: Mapping[str, int] = field(default_factory=dict)
    """By uid of the pod: how many restarts of its containers are known, and told."""

    scaling: Scaling | None = None
    """`None`: it is not scaled automatically."""
    past: Past | None = None
    short_since: float | None = None
    """Since when demand wants more pods than are ready, monotonic."""
    scaler: Scaler | None = None

    children: dict[tuple[str, str], Made] = field(default_factory=dict)
    """By kind and name."""
    head: Head | None = None
    """What the managed head last received."""
    head_nodes: tuple[tuple[str, ...], float] | None = None
    """The nodes that the head ought to have, and since when, Unix time."""

    status_written_at: float = NEVER
    """Monotonic; of a new resource when there first was one to write."""
    asked: tuple[int, float] | None = None
    """The generation that the status does not tell of yet, and since when, monotonic."""
    events_spent: tuple[float, float] | None = None
    """How many Events of the burst are spent, and as of when, monotonic."""

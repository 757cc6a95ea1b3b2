"""What a plan may ask for. Each can be done twice, or half, and planned anew."""

from __future__ import annotations

from dataclasses import dataclass

from mediafleet_common.api.names import DrainReason, PodState, Reason
from mediafleet_operator.core.fleet.model import PodView


@dataclass(frozen=True, slots=True)
class SetReplicas:
    """Write `spec.replicas`, which the resource left out."""

    replicas: int


@dataclass(frozen=True, slots=True)
class Rescale:
    """Write another `spec.replicas`, as demand wants."""

    before: int
    after: int
    why: str


@dataclass(frozen=True, slots=True)
class Create:
    """Make the pod of a slot; its name is the slot's, so that a repeated create is refused."""

    slot: int
    reason: Reason
    """SCALED_UP, or ROLLING_OUT for the replacement of a pod that is still there."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Write what has changed of a pod's marks, all in one patch; `None` leaves a mark alone."""

    pod: PodView
    state: PodState | None = None
    address: str | None = None
    """Empty: take it away."""
    busy: bool | None = None
    busy_at: float | None = None
    """Unix time when it was last seen to have work."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Tell the desks to leave the pod alone, and note when and why."""

    pod: PodView
    reason: DrainReason


@dataclass(frozen=True, slots=True)
class Undrain:
    """Take a draining pod back."""

    pod: PodView


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the pod if it still is as it was seen (uid and resourceVersion)."""

    pod: PodView
    reason: Reason
    """DRAIN_FINISHED, DRAIN_TIMED_OUT, SCALED_DOWN or ROLLING_OUT (never was Ready), or why it
    had ended by itself."""
    grace_seconds: int | None = None
    """`None`: as the pod says."""
    jobs: int | None = None
    """What it was last known to have."""
    waited_seconds: float | None = None
    """Since it was taken off the list, if it was."""


@dataclass(frozen=True, slots=True)
class SetGate:
    """Let new connections in at the pod's Service, or no more, by its readiness gate."""

    pod: PodView
    open: bool


OnPod = Mark | Drain | Undrain | Delete | SetGate
"""What is done to a pod that was seen; conditional on that it is as it was."""
Action = SetReplicas | Rescale | Create | OnPod

"""What the built-in policy decides from, and what it says.

Times are Unix seconds. Unknown is `None`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.durations import seconds
from mediafleet_common.api.names import Reason
from mediafleet_common.api.scaling.autoscaling import Autoscaling, Engine, ForecastUse, Pace
from mediafleet_common.api.scaling.schedule import Window
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_operator.core.autoscaling.record import EMPTY, Record

UP_SECONDS: Final = 0.0
DOWN_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How readily the count follows, in one direction."""

    window_seconds: float
    per_minute: int | None


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is asked of the forecast."""

    apply: bool
    """Whether it raises the count, or is only shown."""
    lead_seconds: float


@dataclass(frozen=True, slots=True)
class Policy:
    """What the resource asks for, digested."""

    engine: Engine
    min: int
    max: int
    slots: int
    percent: int
    type: str | None
    up: Limits
    down: Limits
    cool_down_seconds: float
    windows: tuple[Window, ...] = ()
    ahead: Ahead | None = None
    """`None`: no forecast is made."""


def policy(autoscaling: Autoscaling) -> Policy:
    """The policy that a resource asks for."""
    behavior = autoscaling.behavior
    return Policy(
        engine=autoscaling.engine,
        min=autoscaling.min,
        # The API server has refused a block without max, unless the engine is none.
        max=autoscaling.max if autoscaling.max is not None else autoscaling.min,
        slots=autoscaling.buffer.slots,
        percent=autoscaling.buffer.percent,
        type=autoscaling.buffer.type,
        up=_limits(behavior.scale_up, UP_SECONDS),
        down=_limits(behavior.scale_down, DOWN_SECONDS),
        cool_down_seconds=seconds(autoscaling.cool_down),
        windows=tuple(autoscaling.schedule),
        ahead=_ahead(autoscaling),
    )


def _ahead(autoscaling: Autoscaling) -> Ahead | None:
    asked = autoscaling.forecast
    if asked is None:
        return None
    return Ahead(asked.use is ForecastUse.APPLY, seconds(asked.lead))


def _limits(pace: Pace, default_seconds: float) -> Limits:
    window = default_seconds if pace.stabilization is None else seconds(pace.stabilization)
    return Limits(window, pace.per_minute)


@dataclass(frozen=True, slots=True)
class Change:
    """The count of pods asked for changed, by any writer, once or more within a few seconds."""

    at: float
    """When the last of it was seen."""
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class Past:
    """What is remembered of earlier decisions.

    `replicas`, `changes`, `last_change` and `record` lie in the status. The others are lost with
    the process, and then nothing is taken away before they are there again: stabilisation and
    cool-down begin anew.
    """

    replicas: int | None = None
    """The count as last seen."""
    changes: tuple[Change, ...] = ()
    """Of the last minute, oldest first."""
    advice: tuple[tuple[float, int], ...] = ()
    """Since when how many were wanted, oldest first; each held until the next."""
    last_change: float | None = None
    """When the count was last seen to change."""
    idle_since: float | None = None
    """Since when nothing has run or waited; `None` while something does, or that is unknown."""
    record: Record = EMPTY
    """What was needed in the last weeks; of a fleet without forecast it stays empty."""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that one decision is made from."""

    policy: Policy
    replicas: int
    """`spec.replicas` as it is."""
    demand: FleetDemand | None
    """`None`: no answer that is still valid."""
    past: Past
    now: float
    paused: bool = False
    silence: str = ""
    """Why there is no demand, for people."""
    silence_reason: Reason = Reason.DEMAND_UNKNOWN


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done, and why."""

    replicas: int
    """What `spec.replicas` is to be; as it is, when nothing is to be done."""
    wanted: int | None
    """Before behaviour holds anything back."""
    active: bool
    """Whether demand is followed at this moment."""
    reason: Reason
    why: str
    past: Past
    busy: bool
    """Whether something scales or may soon, so that demand is to be asked for often."""
    forecast: int | None = None
    """Pods that the last weeks let expect; `None`: unknown, or nobody asks."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """The state of a fleet's autoscaling, for its status."""

    engine: Engine
    active: bool
    """Whether demand is followed at this moment."""
    reason: Reason
    why: str
    past: Past
    wanted: int | None = None
    """`None`: unknown. Of KEDA, or an HPA on another metric than ours, what it wrote."""
    forecast: int | None = None
    """Pods that the last weeks let expect; `None`: unknown, or nobody asks."""
    ahead: Ahead | None = None
    """What is asked of the forecast; `None`: there is none."""


@dataclass(frozen=True, slots=True)
class Found:
    """What KEDA or the HPA say of themselves."""

    active: bool
    reason: Reason
    why: str

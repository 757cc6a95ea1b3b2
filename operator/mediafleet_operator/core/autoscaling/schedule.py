"""Which bounds hold at a moment: those of the resource, and of the windows that are open."""

from __future__ import annotations

from dataclasses import dataclass

from mediafleet_common.api.scaling.schedule import Window
from mediafleet_operator.core.autoscaling import cron
from mediafleet_operator.core.autoscaling.model import Policy


@dataclass(frozen=True, slots=True)
class Bounds:
    """At least and at most so many pods."""

    min: int
    max: int
    scheduled: bool = False
    """Whether a window is open."""

    def clamp(self, count: int) -> int:
        """The nearest count within."""
        return max(self.min, min(count, self.max))


def bounds(policy: Policy, now: float) -> Bounds:
    """The bounds at a moment. A window raises the minimum and replaces the maximum; of several
    open ones the highest counts.

    Raises:
        BadScheduleError: a window cannot be followed.
    """
    windows = [each for each in policy.windows if is_open(each, now)]
    if not windows:
        return Bounds(policy.min, policy.max)
    low = max(policy.min, *(each.min for each in windows))
    high = max(policy.max if each.max is None else each.max for each in windows)
    return Bounds(low, max(low, high), scheduled=True)


def is_open(window: Window, now: float) -> bool:
    """Whether the last start of a window came after its last end.

    Raises:
        BadScheduleError: it cannot be followed.
    """
    zone = cron.zone(window.time_zone)
    try:
        start = cron.parse(window.start).last(now, zone)
        end = cron.parse(window.end).last(now, zone)
    except cron.BadScheduleError as error:
        raise cron.BadScheduleError(f"spec.autoscaling.schedule: {error}") from None
    return start is not None and (end is None or start > end)

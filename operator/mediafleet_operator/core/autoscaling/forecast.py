"""How many pods the same quarter hour of day and week has needed in the last weeks. Pure.

The second highest of four weeks counts, so that one week out of the ordinary makes no forecast and
spoils none. A quarter hour that fewer than two weeks know has none. Hours are UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mediafleet_operator.core.autoscaling.record import QUARTER_SECONDS, WEEK, WEEKS, Record

LEAST_WEEKS: Final = 2
"""Weeks that have to know a quarter hour."""
LOOK_BACK: Final = 8
"""Quarter hours by which a day is held to the weeks before."""
LEAST_SHARE: Final = 0.5
"""With less than so much of what is usual, the day is not like the weeks before."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the weeks before say of now and of the time that a pod takes to start."""

    pods: int | None
    """Pods that will be needed; `None`: nobody knows."""
    why: str


def forecast(record: Record, now: float, lead_seconds: float) -> Forecast:
    """The most that is usual from now until so many seconds ahead."""
    first, last = int(now // QUARTER_SECONDS), int((now + lead_seconds) // QUARTER_SECONDS)
    known = [pods for each in range(first, last + 1) if (pods := usual(record, each)) is not None]
    if not known:
        return Forecast(None, "too few weeks know this hour")
    share = share_of_usual(record, first)
    if share is not None and share < LEAST_SHARE:
        why = f"only {share:.0%} of what is usual was needed in the last two hours"
        return Forecast(None, why)
    return Forecast(max(known), "by the same time of the last weeks")


def usual(record: Record, quarter: int) -> int | None:
    """The second highest of the weeks before; `None`: fewer than two know it."""
    weeks = (record.at(quarter - back * WEEK) for back in range(1, WEEKS + 1))
    known = sorted((pods for pods in weeks if pods is not None), reverse=True)
    return known[LEAST_WEEKS - 1] if len(known) >= LEAST_WEEKS else None


def share_of_usual(record: Record, quarter: int) -> float | None:
    """What was needed in the hours before, as a share of what was usual then; `None`: unknown."""
    needed = expected = 0
    for each in range(quarter - LOOK_BACK, quarter):
        pods, before = record.at(each), usual(record, each)
        if pods is not None and before is not None:
            needed += pods
            expected += before
    return needed / expected if expected else None

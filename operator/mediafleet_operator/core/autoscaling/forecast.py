"""How many pods a rush will need, by the same quarter hour of the last weeks. Pure.

What the need rose to in the same quarter hour of day and week counts, and of four weeks the second
highest, so that one week out of the ordinary makes no forecast and spoils none. A quarter hour that
fewer than two weeks know has none. Hours are UTC.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mediafleet_operator.core.autoscaling.record import QUARTER_SECONDS, WEEK, WEEKS, Record

LEAST_WEEKS: Final = 2
"""Weeks that have to know a quarter hour."""
LOOK_BACK: Final = 8
"""Quarter hours by which a day is held to the weeks before."""
LEAST_SHARE: Final = 0.3
"""With less than so much of what is usual, the day is not like the weeks before."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the weeks before say of now and of the time that a pod takes to start."""

    pods: int | None
    """Pods that will be needed, 0 where no rush is usual; `None`: nobody knows."""
    why: str


def forecast(record: Record, now: float, lead_seconds: float) -> Forecast:
    """The most that a rush will need from now until so many seconds ahead."""
    first, last = int(now // QUARTER_SECONDS), int((now + lead_seconds) // QUARTER_SECONDS)
    known = [peak for each in range(first, last + 1) if (peak := usual(record, each)) is not None]
    if not known:
        return Forecast(None, "too few weeks know this hour")
    share = share_of_usual(record, first)
    if share is not None and share < LEAST_SHARE:
        why = f"only {share:.0%} of the usual came in the last two hours"
        return Forecast(None, why)
    size = 1.0 if share is None else min(share, 1.0)
    of_usual = f"{size:.0%} of {max(known)}" if size < 1 else str(max(known))
    return Forecast(math.ceil(max(known) * size), f"{of_usual} is usual at this time of the week")


def usual(record: Record, quarter: int) -> int | None:
    """The second highest of the weeks before; `None`: fewer than two know the quarter hour."""
    return _usual(record.peaks, record.end, quarter)


# It is asked for at each look, and changes four times an hour.
@lru_cache(maxsize=1024)
def _usual(peaks: bytes, end: int, quarter: int) -> int | None:
    record = Record(end, peaks)
    weeks = (record.at(quarter - back * WEEK) for back in range(1, WEEKS + 1))
    known = sorted((peak for peak in weeks if peak is not None), reverse=True)
    return known[LEAST_WEEKS - 1] if len(known) >= LEAST_WEEKS else None


def share_of_usual(record: Record, quarter: int) -> float | None:
    """What came in the hours before, as a share of what was usual then; `None`: nothing was usual,
    or it is unknown."""
    came = expected = 0
    for each in range(quarter - LOOK_BACK, quarter):
        peak, before = record.at(each), usual(record, each)
        if peak is not None and before:
            came += peak
            expected += before
    return came / expected if expected else None

"""Weeks of streams by region, a row for each day. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from mediafleet_common.formats.times import rfc3339
from mediafleet_scheduler.core.community.weeks.history import Row

_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class DayRow:
    """A region on one day."""

    day: str
    region: str
    operators: int
    """Who published, in the hour with most of them."""
    hours: int
    """Hours of which something was published."""
    average: float | None
    """Streams, over the hours in which they were told; `None`: in none."""
    maximum: int | None
    """The most in one hour: the sum of each operator's maximum, at most so many at one moment."""


@dataclass(slots=True)
class _Day:
    operators: list[int] = field(default_factory=list)
    average: list[int] = field(default_factory=list)
    maximum: list[int] = field(default_factory=list)


def table(told: Iterable[Row], streams: Iterable[Row]) -> list[DayRow]:
    """The newest day first.

    Args:
        told: how many operators published, by region and hour.
        streams: sums over them, by region, figure and hour.
    """
    days: defaultdict[tuple[str, str], _Day] = defaultdict(_Day)
    for row in told:
        for at, value in row.points():
            days[_day(at), row.metric.get("region", "")].operators.append(value)
    for row in streams:
        for at, value in row.points():
            each = days[_day(at), row.metric.get("region", "")]
            (each.maximum if row.metric.get("figure") == "maximum" else each.average).append(value)
    made = [_row(day, region, each) for (day, region), each in days.items() if each.operators]
    by_region = sorted(made, key=lambda row: row.region)
    return sorted(by_region, key=lambda row: row.day, reverse=True)


def _row(day: str, region: str, told: _Day) -> DayRow:
    average = round(sum(told.average) / len(told.average), 1) if told.average else None
    return DayRow(
        day,
        region,
        max(told.operators),
        len(told.operators),
        average,
        max(told.maximum, default=None),
    )


def _day(at: int) -> str:
    return rfc3339(at // _DAY_SECONDS * _DAY_SECONDS)[:10]

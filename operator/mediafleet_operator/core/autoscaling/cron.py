"""Cron expressions: when one was last due, in the local time of a zone.

A local time that a clock put forward leaves out is due as long after the change as it would have
been after it without one (02:30 is 03:30); one that comes twice is due the first time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

_DAYS_BACK: Final = 8 * 366 + 1
"""29 February may be eight years apart."""
_MONTHS: Final = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"
_WEEKDAYS: Final = "SUN MON TUE WED THU FRI SAT"


class BadScheduleError(ValueError):
    """A schedule that cannot be followed; the text names the field and the fix."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    first: int = 0
    """The number of the first of the names."""


_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, tuple(_MONTHS.split()), 1),
    _Field("day of week", 0, 7, tuple(_WEEKDAYS.split())),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """When something is due. Weekdays: 0 is Sunday."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    """Whether day of month is `*`: if neither is, one of the two has to fit."""
    any_weekday: bool

    def last(self, now: float, zone: ZoneInfo) -> float | None:
        """Unix time at which it was last due, `now` included; `None`: not in eight years."""
        today = datetime.fromtimestamp(now, zone).date()
        for back in range(_DAYS_BACK):
            day = today - timedelta(days=back)
            if self._on(day):
                due = max((at for at in self._at(day, zone) if at <= now), default=None)
                if due is not None:
                    return due
        return None

    def _on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        of_month = day.day in self.days
        of_week = day.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return of_month and of_week
        return of_month or of_week

    def _at(self, day: date, zone: ZoneInfo) -> Iterator[float]:
        for hour in self.hours:
            for minute in self.minutes:
                local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                # By way of UTC, since subtracting within one zone ignores its changes.
                yield local.astimezone(UTC).timestamp()


@lru_cache(maxsize=1024)
def parse(text: str) -> Cron:
    """A cron expression of five fields.

    Raises:
        BadScheduleError: it is none.
    """
    parts = text.upper().split()
    if len(parts) != len(_FIELDS):
        raise BadScheduleError(f"{text!r}: write five fields, for example 0 18 * * 1-5")
    sets = [_numbers(field, part, text) for field, part in zip(_FIELDS, parts, strict=True)]
    return Cron(
        minutes=sets[0],
        hours=sets[1],
        days=sets[2],
        months=sets[3],
        weekdays=frozenset(each % 7 for each in sets[4]),
        any_day=parts[2].startswith("*"),
        any_weekday=parts[4].startswith("*"),
    )


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises:
        BadScheduleError: there is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise BadScheduleError(
            f"timeZone {name!r} is not known; write an IANA name, for example Europe/Berlin"
        ) from None


def _numbers(field: _Field, part: str, text: str) -> frozenset[int]:
    found: set[int] = set()
    for each in part.split(","):
        span, _, step = each.partition("/")
        low, dash, high = span.partition("-")
        if span == "*":
            first, last = field.low, field.high
        else:
            first = _number(field, low, text)
            # `5/10` goes on to the end, as in every cron.
            last = _number(field, high, text) if dash else (field.high if step else first)
        stride = _stride(step, text) if "/" in each else 1
        if first > last:
            raise BadScheduleError(f"{text!r}: {field.name} {span} runs backwards; split it in two")
        found.update(range(first, last + 1, stride))
    return frozenset(found)


def _number(field: _Field, word: str, text: str) -> int:
    if word in field.names:
        return field.names.index(word) + field.first
    if word.isascii() and word.isdigit() and field.low <= int(word) <= field.high:
        return int(word)
    raise BadScheduleError(
        f"{text!r}: {field.name} {word!r} is not one of {field.low}-{field.high}"
    )


def _stride(word: str, text: str) -> int:
    if word.isascii() and word.isdigit() and int(word) > 0:
        return int(word)
    raise BadScheduleError(f"{text!r}: a step is a number above 0, not {word!r}")

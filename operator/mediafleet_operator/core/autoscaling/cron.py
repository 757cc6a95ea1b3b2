"""Cron expressions: when one was last due, in the local time of a zone.

A local time that a clock put forward leaves out is due as long after the change as it would have
been after it without one (02:30 is 03:30); one that comes twice is due the first time. cronsim
would have the first due at the change, so it reckons without a zone here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_FIELDS: Final = {
    "minute": "0-59",
    "hour": "0-23",
    "day of month": "1-31",
    "month": "1-12 or JAN-DEC",
    "day of week": "0-7 or SUN-SAT",
}
_SHIFT: Final = timedelta(hours=2)
"""Clocks are changed by no more."""
_ANY_DAY: Final = datetime(2000, 1, 1)  # noqa: DTZ001 -- local times have no zone here


class BadScheduleError(ValueError):
    """A schedule that cannot be followed; the text names the field and the fix."""


@dataclass(frozen=True, slots=True)
class Cron:
    """When something is due."""

    text: str
    never: bool = False
    """Whether its day never comes, such as 30 February."""

    def last(self, now: float, zone: ZoneInfo) -> float | None:
        """Unix time at which it was last due, `now` included; `None`: not in fifty years."""
        if self.never:
            return None
        local = datetime.fromtimestamp(now, zone).replace(tzinfo=None)
        found: tuple[float, datetime] | None = None
        for wall in CronSim(self.text, local + _SHIFT, reverse=True):
            # What was left out may be due after what is later by the clock.
            if found is not None and wall < found[1] - _SHIFT:
                break
            # By way of UTC, since subtracting within one zone ignores its changes.
            due = wall.replace(tzinfo=zone).astimezone(UTC).timestamp()
            if due <= now and (found is None or due > found[0]):
                found = due, wall
        return None if found is None else found[0]


@lru_cache(maxsize=1024)
def parse(text: str) -> Cron:
    """A cron expression of five fields.

    Raises:
        BadScheduleError: it is none.
    """
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise BadScheduleError(f"{text!r}: write five fields, for example 0 18 * * 1-5")
    for at, (name, values) in enumerate(_FIELDS.items()):
        alone = ["*"] * len(parts)
        alone[at] = parts[at]
        if not _is_cron(alone):
            raise BadScheduleError(
                f"{text!r}: {name} {parts[at]!r} is not one of {values}, a list of them, a range "
                "from less to more, or either with a step above 0"
            )
    return Cron(text, never=not _is_cron(parts))


def _is_cron(parts: list[str]) -> bool:
    try:
        CronSim(" ".join(parts), _ANY_DAY)
    except CronSimError:
        return False
    return True


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

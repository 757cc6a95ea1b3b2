"""Closed hours as they lie on disk: the very JSON that is shared, a line an hour. Pure.

What is on disk holds no more than what was published. A file of another form is refused as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mediafleet_common.formats.times import rfc3339, unix
from mediafleet_common.reports.community import Deletion
from mediafleet_scheduler.core.community.cells import WORLD, Cell, named
from mediafleet_scheduler.core.community.groups import Groups
from mediafleet_scheduler.core.community.publishing import (
    LEAST_K,
    Figures,
    HourRecord,
    OwnFigures,
    Range,
)
from mediafleet_scheduler.core.community.rendering import hour_as_json
from mediafleet_scheduler.core.community.work.counting import WorkGroups
from mediafleet_scheduler.core.community.work.kinds import ALL, CELL_PATTERN, Kind

KEPT_DAYS: Final = 56
_DAY_HOURS: Final = 24
_PARTS: Final = 12
_Count = Annotated[int, Field(ge=0, le=10_000_000)]
_WorkCell = Annotated[str, Field(pattern=CELL_PATTERN)]
_Span = Annotated[str, Field(pattern=r"^[0-9]{1,8}-[0-9]{1,8}$")]


_LEFT_BY_FILE: Final = "byFile"


class NotStoredError(ValueError):
    """What a file holds is not what this version writes."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Own(_Part):
    average: _Count
    maximum: _Count


class _Group(_Part):
    average: _Count | None = None
    maximum: _Count | None = None
    streaming: _Span | None = None
    asking: _Span | None = None


class _Hour(_Part):
    start: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:00:00Z$")]
    k: Annotated[int, Field(ge=LEAST_K)]
    own: _Own | None = None
    streams: _Count | None = None
    fiveMinutes: Annotated[  # noqa: N815 - the name in the JSON
        list[_Count | None] | None, Field(max_length=_PARTS)
    ] = None
    groups: Mapping[str, _Group] = Field(default_factory=dict)
    work: Mapping[str, Mapping[_WorkCell, _Count]] = Field(default_factory=dict)


class _Today(_Part):
    day: str
    k: int
    groups: list[str]
    work: dict[str, list[str]] = Field(default_factory=dict)


def deletions_as_stored(deletions: Iterable[Deletion]) -> bytes:
    """The mark of an operator whose file says that they leave, with what collectors answered."""
    told = [each.model_dump(by_alias=True) for each in deletions]
    return json.dumps({_LEFT_BY_FILE: told}, sort_keys=True).encode() + b"\n"


def deletions_from_stored(mark: bytes) -> list[Deletion]:
    """What collectors answered; nothing where the mark is of a command, or broken."""
    try:
        return [Deletion.model_validate(each) for each in json.loads(mark)[_LEFT_BY_FILE]]
    except (ValueError, KeyError, TypeError):
        return []


def is_left_by_file(mark: bytes) -> bool:
    """Whether an operator left by their file: without its word they are back."""
    return _LEFT_BY_FILE.encode() in mark


def day_of(start: float) -> str:
    """The UTC day of a time in Unix seconds, such as 2026-11-29."""
    return rfc3339(start)[:10]


def is_kept(day: str, now: float) -> bool:
    """Whether a day is among those that are kept: today and the 55 before."""
    return day_of(now - (KEPT_DAYS - 1) * 86_400) <= day <= day_of(now)


def as_stored(records: Iterable[HourRecord]) -> bytes:
    """A day's hours, as its file holds them."""
    lines = (json.dumps(hour_as_json(each), sort_keys=True) for each in records)
    return "".join(f"{line}\n" for line in lines).encode()


def from_stored(content: bytes) -> list[HourRecord]:
    """What a day's file holds, oldest first.

    Raises:
        NotStoredError: it is no such file, or not whole.
    """
    lines = content.splitlines()
    if len(lines) > _DAY_HOURS or not content.endswith(b"\n"):
        raise NotStoredError("it is not whole, or holds more than the hours of a day")
    try:
        return [_record(_Hour.model_validate_json(line)) for line in lines]
    except ValidationError as error:
        raise NotStoredError(f"{error.error_count()} fields are of another form") from error
    except ValueError as error:
        raise NotStoredError(str(error)) from error


def groups_as_stored(
    day: str, k: int, groups: Iterable[Cell], work: WorkGroups | None = None
) -> bytes:
    """A day's groups, and those of work: names of cells, and not who was in them."""
    today: dict[str, object] = {
        "day": day,
        "k": k,
        "groups": sorted(cell[-1] for cell in groups),
    }
    if work:
        today["work"] = {
            kind.value: sorted(cell[-1] for cell in each.cells if cell != WORLD)
            for kind, each in work.items()
        }
    return json.dumps(today, sort_keys=True).encode() + b"\n"


def groups_from_stored(content: bytes, day: str, k: int) -> frozenset[Cell] | None:
    """The groups of this day; `None`: they are of another day or another `k`.

    Raises:
        NotStoredError: it is no such file.
    """
    try:
        today = _Today.model_validate_json(content)
        cells = frozenset(named(each) for each in today.groups)
    except ValueError as error:
        raise NotStoredError("it does not name a day's groups") from error
    return cells if (today.day, today.k) == (day, k) else None


def work_groups_from_stored(content: bytes, day: str, k: int) -> WorkGroups:
    """The groups of work of this day; of another day, another `k` or in another form: none."""
    try:
        today = _Today.model_validate_json(content)
        found = {Kind(kind): Groups(_cells(names)) for kind, names in today.work.items()}
    except ValueError:
        return {}
    return found if (today.day, today.k) == (day, k) else {}


def _cells(names: Iterable[str]) -> frozenset[Cell]:
    return frozenset({WORLD, *((*WORLD, name) for name in names if name != ALL)})


def _record(hour: _Hour) -> HourRecord:
    start = unix(hour.start)
    if start is None:
        raise ValueError(f"{hour.start} is no time")
    own = None if hour.own is None else OwnFigures(hour.own.average, hour.own.maximum)
    groups = {named(name): _figures(each) for name, each in hour.groups.items()}
    parts: Sequence[int | None] = tuple(hour.fiveMinutes or [None] * _PARTS)
    work = {Kind(kind).value: dict(each) for kind, each in hour.work.items()}
    return HourRecord(int(start), hour.k, groups, parts, own, work)


def _figures(group: _Group) -> Figures:
    streaming, asking = _range(group.streaming), _range(group.asking)
    return Figures(group.average, group.maximum, streaming, asking)


def _range(text: str | None) -> Range | None:
    if text is None:
        return None
    low, _, high = text.partition("-")
    return int(low), int(high)

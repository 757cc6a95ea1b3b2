"""What several operators share, put together. Pure.

A summary from elsewhere is a claim: it is read field by field, and one that is not of the agreed
form is refused as a whole. Gateways are never added: one gateway uses several operators, so that
together they are between the largest range and the sum of all.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from mediafleet_common.api.reading import words
from mediafleet_scheduler.core.community.work.kinds import CELL_PATTERN
from mediafleet_scheduler.core.community.work.together import WorkRow, work_rows

_Count = Annotated[int, Field(ge=0, le=10_000_000)]


def _rises(span: str) -> str:
    low, _, high = span.partition("-")
    if int(low) > int(high):
        raise ValueError("the range ends below its beginning")
    return span


_Span = Annotated[str, Field(pattern=r"^[0-9]{1,7}-[0-9]{1,7}$"), AfterValidator(_rises)]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9 +-]{1,80}$")]
_Cell = Annotated[str, Field(pattern=CELL_PATTERN)]
_SPAN: Final = re.compile(r"([0-9]{1,7})-([0-9]{1,7})")


class _Part(BaseModel):
    # A newer version may share more; what we do not know is left out.
    model_config = ConfigDict(extra="ignore", strict=True)


class _Streams(_Part):
    average: float | None = None
    maximum: int | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        """No honest average is above its maximum, rounded or not."""
        if self.average is not None and self.maximum is not None and self.average > self.maximum:
            raise ValueError("the average is above the maximum")
        return self


class _Own(_Streams):
    average: _Count
    maximum: _Count


class _Day(_Streams):
    average: Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)] | None = None
    maximum: _Count | None = None
    hours: Annotated[int, Field(ge=0, le=24)] = 0


class Group(_Streams):
    """What one operator publishes of one group in one hour."""

    average: _Count | None = None
    maximum: _Count | None = None
    streaming: _Span | None = None
    asking: _Span | None = None


class Hour(_Part):
    """What one operator publishes of one hour."""

    start: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:00:00Z$")]
    own: _Own | None = None
    groups: Annotated[dict[_Name, Group], Field(max_length=5000)] = Field(default_factory=dict)
    work: Annotated[
        dict[_Name, Annotated[dict[_Cell, _Count], Field(max_length=500)]], Field(max_length=50)
    ] = Field(default_factory=dict)


class Summary(_Part):
    """One operator's summary, as `GET /summary` answers it."""

    version: Annotated[int, Field(ge=1, le=1)]
    region: Annotated[str, Field(pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    detail: bool = False
    """Whether others who share may see these values by themselves, and not only in sums."""
    now: _Own | None = None
    day: _Day = _Day()
    hours: Annotated[list[Hour], Field(max_length=24)] = Field(default_factory=list)


class NoSummaryError(ValueError):
    """What a target answered is no summary; the text names the field."""


@dataclass(frozen=True, slots=True)
class RegionRow:
    """A region, over the operators that share."""

    region: str
    operators: int
    now: int | None
    """Streams; `None`: nobody says."""
    average: float | None
    maximum: int | None
    """The sum of each operator's maximum: together they had at most so many at one moment."""


@dataclass(frozen=True, slots=True)
class OriginRow:
    """Where gateways call from, in the newest hour that each operator publishes."""

    origin: str
    operators: int
    streams: int | None
    asking: tuple[int, int] | None
    """Gateways: between the largest of the lower bounds and the sum of the upper ones."""


@dataclass(frozen=True, slots=True)
class DayRow:
    """Where gateways call from, over the hours of a day that each operator publishes."""

    origin: str
    operators: int
    """Who publish streams of it in an hour at least."""
    average: float
    """Streams of all who tell them, the mean over the hours in which anybody does."""
    maximum: int
    """The hour with most: the sum of each operator's maximum, at most so many at one moment."""


@dataclass(frozen=True, slots=True)
class View:
    """What is known together, and of whom nothing is."""

    regions: list[RegionRow]
    origins: list[OriginRow]
    shared: int
    """Operators that share."""
    unknown: list[str]
    """Targets that share nothing or did not answer: their share of the demand is unknown."""
    work: list[WorkRow] = field(default_factory=list)
    """Kinds that this version knows."""
    days: list[DayRow] = field(default_factory=list)
    """By origin, like the hours that they are of."""


def read_summary(body: bytes) -> Summary:
    """What a target answered.

    Raises:
        NoSummaryError: it is no summary of this version.
    """
    try:
        return Summary.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(each) for each in first["loc"])
        raise NoSummaryError(f"{where}: {words(first)}" if where else words(first)) from error


def together(summaries: Mapping[str, Summary], unknown: Iterable[str]) -> View:
    """The view of all targets; `summaries` and `unknown` by target."""
    regions: defaultdict[str, list[Summary]] = defaultdict(list)
    origins: defaultdict[str, list[Group]] = defaultdict(list)
    hours: list[Hour] = []
    for each in summaries.values():
        regions[each.region].append(each)
        newest = max(each.hours, key=lambda hour: hour.start, default=None)
        if newest is not None:
            hours.append(newest)
            for name, group in newest.groups.items():
                origins[name].append(group)
    return View(
        [_region(name, regions[name]) for name in sorted(regions)],
        [origin_row(name, origins[name]) for name in sorted(origins)],
        len(summaries),
        sorted(unknown),
        work_rows(each.work for each in hours),
        day_rows(summaries.values()),
    )


def day_rows(summaries: Iterable[Summary]) -> list[DayRow]:
    """The day of each origin, from the hours alone: what claims to be their sum is not read."""
    told: defaultdict[str, defaultdict[str, list[Group]]] = defaultdict(lambda: defaultdict(list))
    operators: defaultdict[str, set[int]] = defaultdict(set)
    for number, each in enumerate(summaries):
        for hour in each.hours:
            for name, group in hour.groups.items():
                if group.average is not None:
                    told[name][hour.start].append(group)
                    operators[name].add(number)
    return [_day_row(name, len(operators[name]), told[name].values()) for name in sorted(told)]


def _day_row(name: str, operators: int, hours: Collection[Sequence[Group]]) -> DayRow:
    """Operators tell an origin in different hours: each hour is added up before the mean."""
    streams = [sum(each.average or 0 for each in hour) for hour in hours]
    most = [sum(each.maximum or each.average or 0 for each in hour) for hour in hours]
    return DayRow(name, operators, round(sum(streams) / len(streams), 1), max(most))


def _region(name: str, summaries: list[Summary]) -> RegionRow:
    return RegionRow(
        name,
        len(summaries),
        _sum(each.now.average for each in summaries if each.now),
        _sum(each.day.average for each in summaries),
        _sum(each.day.maximum for each in summaries),
    )


def origin_row(name: str, groups: list[Group]) -> OriginRow:
    """One origin, over the operators that publish something of it."""
    spans = [_span(each.asking) for each in groups if each.asking is not None]
    asking = (max(low for low, _ in spans), sum(high for _, high in spans)) if spans else None
    return OriginRow(name, len(groups), _sum(each.average for each in groups), asking)


def _span(text: str) -> tuple[int, int]:
    found = _SPAN.fullmatch(text)
    assert found, "the model has looked"
    return int(found[1]), int(found[2])


def _sum(values: Iterable[Any]) -> Any:
    known = [each for each in values if each is not None]
    return sum(known) if known else None

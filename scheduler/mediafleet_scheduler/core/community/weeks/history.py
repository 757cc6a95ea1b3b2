"""What a store answered, read back as the summaries that it was made of. Pure.

It is read as strictly as what operators answer: whoever can write to the store could tell anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mediafleet_common.formats.times import rfc3339
from mediafleet_scheduler.core.community.collecting import Summary
from mediafleet_scheduler.core.community.weeks.series import (
    ASKED,
    GATEWAYS,
    OWN,
    STREAMS,
    TOLD,
    WORK,
)

MOST_SERIES: Final = 50_000
MOST_POINTS: Final = 2_000


class NoHistoryError(ValueError):
    """What a store answered cannot be shown; the text says why."""


class Row(BaseModel):
    """One series of an answer."""

    model_config = ConfigDict(extra="ignore")
    metric: dict[str, str]
    values: Annotated[list[tuple[float, str]], Field(max_length=MOST_POINTS)]

    def points(self) -> list[tuple[int, int]]:
        """Unix seconds and figure; what is no figure of ours is left out."""
        found = []
        for at, text in self.values:
            try:
                found.append((int(at), int(float(text))))
            except (ValueError, OverflowError):
                continue
        return found


class _Data(BaseModel):
    resultType: Literal["matrix"]  # noqa: N815 - Prometheus' name
    result: Annotated[list[Row], Field(max_length=MOST_SERIES)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")
    status: Literal["success"]
    data: _Data


@dataclass(frozen=True, slots=True)
class History:
    """What was published in some hours."""

    summaries: dict[str, Summary] = field(default_factory=dict)
    """By operator; without `now`."""
    asked: int | None = None
    """Operators that were asked, at most; `None`: nobody noted it."""


def rows(body: bytes) -> list[Row]:
    """The series of an answer of `/api/v1/query_range`.

    Raises:
        NoHistoryError: it is no such answer, or too much.
    """
    try:
        return _Answer.model_validate_json(body).data.result
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(each) for each in first["loc"])
        raise NoHistoryError(f"the store's answer is not read: {where}: {first['msg']}") from error


def history(found: Iterable[Row]) -> History:
    """What each operator published; one whose series make no summary is left out."""
    operators: defaultdict[str, _Operator] = defaultdict(_Operator)
    asked: list[int] = []
    for row in found:
        name, operator = row.metric.get("__name__", ""), row.metric.get("operator")
        if name == ASKED:
            asked += [value for _, value in row.points()]
        elif operator:
            for at, value in row.points():
                operators[operator].take(name, row.metric, at, value)
    made = {operator: each.summary() for operator, each in operators.items()}
    return History(
        {operator: each for operator, each in sorted(made.items()) if each is not None},
        max(asked, default=None),
    )


@dataclass(slots=True)
class _Operator:
    """Hours of one operator, as they are put together."""

    hours: defaultdict[int, dict[str, Any]] = field(
        default_factory=lambda: defaultdict(lambda: {"groups": {}, "work": {}})
    )
    regions: dict[int, str] = field(default_factory=dict)

    def take(self, name: str, labels: dict[str, str], at: int, value: int) -> None:
        """One sample."""
        label = labels.get
        hour = self.hours[at]
        if name == TOLD:
            self.regions[at] = label("region", "")
        elif name == OWN:
            hour.setdefault("own", {})[label("figure", "")] = value
        elif name == STREAMS:
            hour["groups"].setdefault(label("group", ""), {})[label("figure", "")] = value
        elif name == GATEWAYS:
            group = hour["groups"].setdefault(label("group", ""), {})
            group.setdefault(label("what", ""), {})[label("bound", "")] = value
        elif name == WORK:
            hour["work"].setdefault(label("kind", ""), {})[label("cell", "")] = value

    def summary(self) -> Summary | None:
        """All of it; an hour without the mark that it was told is none."""
        told = [{"start": rfc3339(at), **_spans(self.hours[at])} for at in sorted(self.regions)]
        if not told:
            return None
        own = [each["own"] for each in told if "own" in each]
        day: dict[str, Any] = {"hours": len(own)}
        try:
            if own:
                day["average"] = round(sum(each["average"] for each in own) / len(own), 1)
                day["maximum"] = max(each["maximum"] for each in own)
            region = self.regions[max(self.regions)]
            made = {"version": 1, "region": region, "day": day, "hours": told}
            return Summary.model_validate(made)
        except (ValidationError, KeyError):
            return None


def _spans(hour: dict[str, Any]) -> dict[str, Any]:
    groups = {
        name: {what: _span(each) for what, each in group.items()}
        for name, group in hour["groups"].items()
    }
    return {**hour, "groups": groups}


def _span(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return f"{value['low']}-{value['high']}" if {"low", "high"} <= value.keys() else None

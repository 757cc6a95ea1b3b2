"""What replicas of one advertiser published that share no Redis, as bounds. Pure.

Each knows what it has seen itself, under names of its own. A gateway that asked two of them is in
both figures, so that together they are between the largest and the sum. A figure that only some
publish is bounded by those: of the others it is nothing, or too few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from mediafleet_common.formats.times import rfc3339
from mediafleet_scheduler.core.community.publishing import Figures, HourRecord, OwnFigures, Range

PartT = TypeVar("PartT")
NameT = TypeVar("NameT")


def merged(replicas: Iterable[Sequence[HourRecord]]) -> list[dict[str, Any]]:
    """Each hour that any of them published, oldest first: bounds, and how many published it."""
    hours: defaultdict[int, list[HourRecord]] = defaultdict(list)
    for records in replicas:
        for record in records:
            hours[record.start].append(record)
    return [_hour(start, hours[start]) for start in sorted(hours)]


def _hour(start: int, records: Sequence[HourRecord]) -> dict[str, Any]:
    groups = _by_name((each.groups for each in records), _figures)
    return {
        "start": rfc3339(start),
        "replicas": len(records),
        "own": _own([each.own for each in records if each.own is not None]),
        "groups": {cell[-1]: bounds for cell, bounds in groups.items()},
        "work": _by_name((each.work for each in records), _work),
    }


def _by_name(
    parts: Iterable[Mapping[NameT, PartT]], bounds: Callable[[list[PartT]], Any]
) -> dict[NameT, Any]:
    found: dict[NameT, list[PartT]] = {}
    for part in parts:
        for name, each in part.items():
            found.setdefault(name, []).append(each)
    return {name: bounds(each) for name, each in found.items()}


def bounds_of(values: Iterable[int | None]) -> Range | None:
    """The largest and the sum; `None`: nobody publishes one."""
    known = [each for each in values if each is not None]
    return (max(known), sum(known)) if known else None


def span_of(spans: Iterable[Range | None]) -> Range | None:
    """The same of ranges: the largest of their beginnings, and the sum of their ends."""
    known = [each for each in spans if each is not None]
    return (max(low for low, _ in known), sum(high for _, high in known)) if known else None


def _own(parts: Sequence[OwnFigures]) -> dict[str, Range | None]:
    return {
        "average": bounds_of(each.average for each in parts),
        "maximum": bounds_of(each.maximum for each in parts),
    }


def _work(parts: Sequence[Mapping[str, int]]) -> dict[str, Range | None]:
    return _by_name(parts, bounds_of)


def _figures(parts: Sequence[Figures]) -> dict[str, Range | None]:
    return {
        "average": bounds_of(each.average for each in parts),
        "maximum": bounds_of(each.maximum for each in parts),
        "streaming": span_of(each.streaming for each in parts),
        "asking": span_of(each.asking for each in parts),
    }

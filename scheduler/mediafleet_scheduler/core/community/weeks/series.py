"""Published hours as series: one sample for each figure, at the start of its hour. Pure.

What nobody published has no sample, so that unknown never becomes zero. The names of operators are
those by which the collector asks them: the store is the collector's own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from mediafleet_common.formats.times import unix
from mediafleet_scheduler.core.community.collecting import Group, Hour, Summary

Labels = tuple[tuple[str, str], ...]

TOLD: Final = "mediafleet_community_hour_told"
"""1 for each hour that an operator published."""
OWN: Final = "mediafleet_community_hour_own_streams"
STREAMS: Final = "mediafleet_community_hour_streams"
GATEWAYS: Final = "mediafleet_community_hour_gateways"
WORK: Final = "mediafleet_community_hour_work"
ASKED: Final = "mediafleet_community_hour_asked"
"""How many operators the collector asked in that hour, by itself."""
HOUR_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure."""

    labels: Labels
    """With `__name__`, sorted by name."""
    at: int
    """Unix seconds."""
    value: int


def starts(summary: Summary) -> dict[int, Hour]:
    """The hours that a summary tells, by their start."""
    found = ((unix(hour.start), hour) for hour in summary.hours)
    return {int(at): hour for at, hour in found if at is not None}


def samples(operator: str, summary: Summary, wanted: Collection[int]) -> list[Sample]:
    """All figures of these hours of one operator; `wanted`: their starts."""
    return [
        Sample(_labels(name, operator=operator, **labels), at, value)
        for at, hour in sorted(starts(summary).items())
        if at in wanted
        for name, labels, value in _figures(hour, summary.region)
    ]


def asked(operators: int, at: int) -> Sample:
    """How many were asked in an hour."""
    return Sample(_labels(ASKED), at, operators)


def _figures(hour: Hour, region: str) -> Iterator[tuple[str, dict[str, str], int]]:
    yield TOLD, {"region": region}, 1
    if hour.own is not None:
        yield OWN, {"region": region, "figure": "average"}, hour.own.average
        yield OWN, {"region": region, "figure": "maximum"}, hour.own.maximum
    for name, group in hour.groups.items():
        yield from _group(name, group)
    for kind, cells in hour.work.items():
        for cell, amount in cells.items():
            yield WORK, {"kind": kind, "cell": cell}, amount


def _group(name: str, group: Group) -> Iterator[tuple[str, dict[str, str], int]]:
    for figure, value in (("average", group.average), ("maximum", group.maximum)):
        if value is not None:
            yield STREAMS, {"group": name, "figure": figure}, value
    for what, span in (("streaming", group.streaming), ("asking", group.asking)):
        for bound, end in zip(("low", "high"), span.split("-") if span else (), strict=False):
            yield GATEWAYS, {"group": name, "what": what, "bound": bound}, int(end)


def _labels(name: str, **labels: str) -> Labels:
    return tuple(sorted({"__name__": name, **labels}.items()))

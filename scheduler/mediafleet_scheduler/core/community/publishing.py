"""What may be published of a closed hour. Pure.

A figure is published only if at least `k` sources stand behind it and none of them has most of it;
else it is `None`, which every output shows as it shows "nothing". What is published is coarse. A
record is made once, from the window alone, and each output shows that record: two outputs compared
reveal no more than one.

Not covered: a party that owns `k` - 1 of the sources of a group can subtract them, and sees when a
figure crosses the threshold of its rounding.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mediafleet_scheduler.core.community.cells import Cell
from mediafleet_scheduler.core.community.windows import NOTHING, GroupUse

LEAST_K: Final = 2
ROUND_STREAMS: Final = 5
MOST_OF_ONE_SOURCE: Final = 0.75
"""Share of a group's streams above which a figure would be of one source rather than of a group."""

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Figures:
    """What is published of a group in an hour; `None`: nothing, or too few sources."""

    average: int | None = None
    """Streams, rounded to 5."""
    maximum: int | None = None
    """Streams at one moment, rounded to 5."""
    streaming: Range | None = None
    """Gateways with streams, from and to."""
    asking: Range | None = None
    """Gateways that asked for nodes, from and to."""


@dataclass(frozen=True, slots=True)
class OwnFigures:
    """The operator's own region in a window: all streams there, wherever they come from."""

    average: int
    """Streams, rounded to 5."""
    maximum: int
    """Streams at one moment, rounded to 5."""


@dataclass(frozen=True, slots=True)
class HourRecord:
    """All that is published of one hour, frozen when it closes."""

    start: int
    """Unix seconds."""
    k: int
    groups: Mapping[Cell, Figures]
    """The groups of which something is published."""
    five_minutes: Sequence[int | None]
    """Streams of the groups that are published, together, in each five minutes of the hour."""
    own: OwnFigures | None = None
    """`None`: not shared, or not known in this hour."""
    work: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Further groups, by kind and cell: `work.windows.publish_work`."""


@dataclass(frozen=True, slots=True)
class DayFigures:
    """Figures over hours that were published, and over nothing else: they tell nothing new."""

    average: float
    """Streams, the mean over those hours."""
    maximum: int
    """Of a group: at one moment. Of all groups together: of the hour with most."""
    hours: int
    """Hours of which something is published."""


def publish(
    start: int,
    hour: Mapping[Cell, GroupUse],
    five_minutes: Sequence[Mapping[Cell, GroupUse]],
    k: int,
    own: OwnFigures | None = None,
    work: Mapping[str, Mapping[str, int]] | None = None,
) -> HourRecord:
    """What is published of an hour.

    Args:
        start: of the hour, Unix seconds.
        hour: what each of the day's groups did in it.
        five_minutes: the same for each five minutes of it, in order.
        k: sources that stand behind a figure, at least.
        own: of the operator's own region, where it is shared.
        work: of further groups, as it may be published.

    Raises:
        ValueError: `k` is below 2: a figure would be of one source.
    """
    if k < LEAST_K:
        raise ValueError(f"k is {k}; a figure of fewer than {LEAST_K} sources shows who they are")
    published = {group: figures(use, k) for group, use in hour.items()}
    told = streaming(hour, k)
    return HourRecord(
        start,
        k,
        {group: each for group, each in published.items() if each != Figures()},
        _parts([_together(each, told) for each in five_minutes], k),
        own,
        work or {},
    )


def streaming(hour: Mapping[Cell, GroupUse], k: int) -> frozenset[Cell]:
    """The groups whose streams in an hour are published."""
    return frozenset(group for group, use in hour.items() if may_be_published(use.streams, k))


def figures(use: GroupUse, k: int) -> Figures:
    """What is published of a group."""
    asking = gateway_range(len(use.asking), k)
    if not may_be_published(use.streams, k):
        return Figures(asking=asking)
    return Figures(
        average=rounded(sum(use.streams.values())),
        maximum=rounded(use.peak),
        streaming=gateway_range(len(use.streams), k),
        asking=asking,
    )


def totals(record: HourRecord) -> int | None:
    """Streams of an hour over all groups: the sum of what is published, nothing else."""
    published = [each.average for each in record.groups.values() if each.average is not None]
    return sum(published) if published else None


def days(records: Sequence[HourRecord]) -> dict[Cell, DayFigures]:
    """Each group over the hours in which its streams are published.

    On another UTC day a group of the same name may be of other gateways.
    """
    told: defaultdict[Cell, list[tuple[int, int]]] = defaultdict(list)
    for record in records:
        for group, each in record.groups.items():
            if each.average is not None and each.maximum is not None:
                told[group].append((each.average, each.maximum))
    return {group: _day(hours) for group, hours in told.items()}


def day_of_all(records: Sequence[HourRecord]) -> DayFigures | None:
    """All groups together; `None`: nothing is published."""
    hourly = [each for each in map(totals, records) if each is not None]
    return _day([(each, each) for each in hourly]) if hourly else None


def own_day(records: Sequence[HourRecord]) -> DayFigures | None:
    """The own region over the hours of which it is published; `None`: of none."""
    own = [each.own for each in records if each.own is not None]
    return _day([(each.average, each.maximum) for each in own]) if own else None


def gateway_range(count: int, k: int) -> Range | None:
    """A number of gateways as a range that widens: 3-5, 6-10, 11-20, 21-40 for `k` 3.

    `None`: fewer than `k`.
    """
    if count < k:
        return None
    low, step = k, 0
    while True:
        high = math.ceil(5 * 2**step * k / 3)
        if low <= count <= high:
            return low, high
        low, step = high + 1, step + 1


def rounded(streams: float) -> int:
    """Streams, to the nearest 5; halves go up."""
    return math.floor(streams / ROUND_STREAMS + 0.5) * ROUND_STREAMS


def may_be_published(streams: Mapping[str, float], k: int) -> bool:
    """Whether enough sources stand behind a figure, and none of them has most of it."""
    total = math.fsum(streams.values())
    return len(streams) >= k and max(streams.values()) <= MOST_OF_ONE_SOURCE * total


def _parts(parts: Sequence[Mapping[str, float]], k: int) -> tuple[int | None, ...]:
    """The streams of each part of an hour, or of none of them.

    One that is null while the others are told would be the difference from the hour's average.
    """
    if any(part and not may_be_published(part, k) for part in parts):
        return (None,) * len(parts)
    return tuple(rounded(sum(part.values())) if part else None for part in parts)


def _together(uses: Mapping[Cell, GroupUse], groups: frozenset[Cell]) -> dict[str, float]:
    together: dict[str, float] = {}
    for group in sorted(groups):
        for source, streams in uses.get(group, NOTHING).streams.items():
            together[source] = together.get(source, 0.0) + streams
    return together


def _day(hours: Sequence[tuple[int, int]]) -> DayFigures:
    average = sum(each for each, _ in hours) / len(hours)
    return DayFigures(round(average, 1), max(most for _, most in hours), len(hours))

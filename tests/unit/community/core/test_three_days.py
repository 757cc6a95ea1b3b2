"""An adversary who sees all outputs of three days, at each hour: within the groups that each day
has from the day before, what is null could as well not have been."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mediafleet_scheduler.core.community.cells import WORLD, Cell, country, grid
from mediafleet_scheduler.core.community.counting import Counting
from mediafleet_scheduler.core.community.groups import Groups
from mediafleet_scheduler.core.community.publishing import Figures, HourRecord
from mediafleet_scheduler.core.community.rendering import (
    DAY_HOURS,
    Shared,
    as_json,
    as_prometheus,
)
from mediafleet_scheduler.core.community.stored import as_stored
from mediafleet_scheduler.core.community.windows import Use

MIDNIGHT = 1_795_910_400 // 86_400 * 86_400
HOURS = (0, 13, 23, 24, 36, 47, 48, 49, 71)
"""Three of each day; the day before the last hour of all holds hours of two days."""
PLACES = [grid(52, 13), grid(48, 2), grid(50, 8), country("br"), WORLD]
FOREIGN = 9
"""Streams of which no origin is known."""
LOOKS = 3


@dataclass(frozen=True)
class Gateway:
    """What one does, hour by hour; its streams differ from look to look."""

    place: Cell
    streams: tuple[int, ...]
    asks: tuple[bool, ...]


GATEWAYS = st.lists(
    st.builds(
        Gateway,
        st.sampled_from(PLACES),
        st.tuples(*[st.sampled_from([0, 1, 3, 8, 40])] * len(HOURS)),
        st.tuples(*[st.booleans()] * len(HOURS)),
    ),
    min_size=3,
    max_size=14,
)


def uses(gateways: Sequence[Gateway], index: int, look: int) -> list[Use]:
    """Who does what at a look of an hour."""
    return [
        Use(f"{number:032x}", each.place, each.streams[index] * (1 + look % 2), each.asks[index])
        for number, each in enumerate(gateways)
        if each.streams[index] or each.asks[index]
    ]


def day(
    gateways: Sequence[Gateway], number: int, groups: Groups
) -> tuple[list[HourRecord], Groups]:
    """The hours of a day by its groups, and the groups of the next day."""
    counting = Counting(MIDNIGHT + number * 86_400, 3, groups)
    records = list[HourRecord | None]()
    for index, hour in enumerate(HOURS):
        if hour // 24 != number:
            continue
        for look in range(LOOKS):
            seen = uses(gateways, index, look)
            own = FOREIGN + sum(each.streams for each in seen)
            at = MIDNIGHT + hour * 3600 + look * 1200
            records.append(counting.look(at, seen, own, 1200))
    records.append(counting.look(MIDNIGHT + (number + 1) * 86_400, [], None, 0))
    return [each for each in records if each is not None], counting.groups


def lived(gateways: Sequence[Gateway]) -> tuple[list[HourRecord], list[Groups]]:
    """Three days, each by the groups that the day before gave it."""
    records, groups = list[HourRecord](), [Groups()]
    for number in range(3):
        hours, after = day(gateways, number, groups[-1])
        records += hours
        groups.append(after)
    return records, groups[:3]


def outputs(records: Sequence[HourRecord]) -> list[bytes]:
    """All that is shown and kept, after each hour: pages hold the day before that moment."""
    told = []
    for count in range(1, len(records) + 1):
        oldest = records[count - 1].start - (DAY_HOURS - 1) * 3600
        shared = Shared("eu-west", None, [each for each in records[:count] if each.start >= oldest])
        told.append(json.dumps(as_json(shared), sort_keys=True).encode())
        told.append(as_prometheus(shared).encode() + as_stored(shared.hours))
    return told


def without_nulls(
    gateways: Sequence[Gateway], records: Sequence[HourRecord], groups: Sequence[Groups]
) -> list[Gateway]:
    """The same world without the sources behind each figure that is null, on all days."""
    by_hour = {(each.start - MIDNIGHT) // 3600: each.groups for each in records}

    def figures(gateway: Gateway, hour: int) -> Figures:
        return by_hour[hour].get(groups[hour // 24].of(gateway.place), Figures())

    return [
        replace(
            each,
            streams=tuple(
                streams if figures(each, hour).average is not None else 0
                for hour, streams in zip(HOURS, each.streams, strict=True)
            ),
            asks=tuple(
                asks and figures(each, hour).asking is not None
                for hour, asks in zip(HOURS, each.asks, strict=True)
            ),
        )
        for each in gateways
    ]


@settings(max_examples=60, deadline=None)
@given(GATEWAYS)
def test_null_windows_of_three_days_tell_nothing_to_who_sees_every_output(
    gateways: list[Gateway],
) -> None:
    records, groups = lived(gateways)
    thinned = without_nulls(gateways, records, groups)
    again = [hour for number in range(3) for hour in day(thinned, number, groups[number])[0]]
    assert outputs(again) == outputs(records)


@settings(max_examples=60, deadline=None)
@given(GATEWAYS, st.lists(st.integers(1, 60), min_size=9, max_size=9), st.sampled_from(PLACES))
def test_what_happens_in_null_windows_may_be_anything_that_stays_null(
    gateways: list[Gateway], louder: list[int], place: Cell
) -> None:
    """One more gateway, as loud as may be, in windows that are null with it and without it."""
    records, groups = lived(gateways)
    more = [*gateways, Gateway(place, tuple(louder), (False,) * len(HOURS))]
    with_it = [hour for number in range(3) for hour in day(more, number, groups[number])[0]]
    null = [
        all(
            each.groups.get(groups[hour // 24].of(place), Figures()).average is None
            for each in pair
        )
        for hour, pair in zip(HOURS, zip(records, with_it, strict=True), strict=True)
    ]
    quiet = tuple(each if is_null else 0 for each, is_null in zip(louder, null, strict=True))
    more[-1] = replace(more[-1], streams=quiet)
    again = [hour for number in range(3) for hour in day(more, number, groups[number])[0]]
    assert outputs(again) == outputs(records)


@settings(max_examples=60, deadline=None)
@given(GATEWAYS)
def test_the_groups_of_a_day_are_of_k_sources_of_the_day_before(gateways: list[Gateway]) -> None:
    """What the names of groups tell, and all that they tell."""
    _, groups = lived(gateways)
    for number in (1, 2):
        for cell in groups[number].cells - {WORLD}:
            active = [
                each
                for each in gateways
                if groups[number].of(each.place) == cell
                and any(
                    (each.streams[index] or each.asks[index])
                    for index, hour in enumerate(HOURS)
                    if hour // 24 == number - 1
                )
            ]
            assert len(active) >= 3

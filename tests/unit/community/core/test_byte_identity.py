"""Streams and askers of random days: what is not published could as well not have been, byte for
byte, also for who sees every output of the day."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mediafleet_scheduler.core.community.cells import WORLD, Cell, country, grid
from mediafleet_scheduler.core.community.counting import Counting
from mediafleet_scheduler.core.community.groups import Groups
from mediafleet_scheduler.core.community.publishing import Figures, HourRecord
from mediafleet_scheduler.core.community.rendering import Shared, as_json, as_prometheus
from mediafleet_scheduler.core.community.stored import as_stored
from mediafleet_scheduler.core.community.windows import Use

MIDNIGHT = 1_795_910_400 // 86_400 * 86_400
FIRST_DAY, HOURS = 24, (0, 12, 24, 25, 26)
"""Two hours of the first day, and three of the second, by groups of their own."""
PLACES = [grid(52, 13), grid(48, 2), grid(50, 8), grid(-33, 151), country("br"), WORLD]


@dataclass(frozen=True)
class Gateway:
    """What one does, hour by hour."""

    place: Cell
    streams: tuple[int, ...]
    asks: tuple[bool, ...]


GATEWAYS = st.lists(
    st.builds(
        Gateway,
        st.sampled_from(PLACES),
        st.tuples(*[st.sampled_from([0, 0, 1, 3, 8, 40])] * len(HOURS)),
        st.tuples(*[st.booleans()] * len(HOURS)),
    ),
    max_size=16,
)


def lived(gateways: list[Gateway]) -> tuple[list[HourRecord], Groups]:
    """The hours of the second day, and its groups."""
    counting, records = Counting(MIDNIGHT, 3), list[HourRecord | None]()
    for index, hour in enumerate(HOURS):
        uses = [
            Use(f"{number:032x}", each.place, each.streams[index], each.asks[index])
            for number, each in enumerate(gateways)
            if each.streams[index] or each.asks[index]
        ]
        own = 9 + sum(each.streams for each in uses)
        for minute in range(0, 60, 20):
            records.append(counting.look(MIDNIGHT + hour * 3600 + minute * 60, uses, own, 1200))
    groups = counting.groups
    records.append(counting.look(MIDNIGHT + 27 * 3600, [], None, 0))
    second = MIDNIGHT + 86_400
    return [each for each in records if each is not None and each.start >= second], groups


def told(records: list[HourRecord]) -> bytes:
    """Every output of the day."""
    shared = Shared("eu-west", None, records)
    pages = json.dumps(as_json(shared), sort_keys=True) + as_prometheus(shared)
    return pages.encode() + as_stored(records)


def thinned(gateways: list[Gateway], records: list[HourRecord], groups: Groups) -> list[Gateway]:
    """The same without the sources behind each figure of the second day that is null."""
    by_start = {(each.start - MIDNIGHT) // 3600: each for each in records}

    def figures(gateway: Gateway, hour: int) -> Figures:
        found = by_start[hour].groups if hour in by_start else {}
        return found.get(groups.of(gateway.place), Figures())

    return [
        replace(
            each,
            streams=tuple(
                streams if hour < FIRST_DAY or figures(each, hour).average is not None else 0
                for hour, streams in zip(HOURS, each.streams, strict=True)
            ),
            asks=tuple(
                asks and (hour < FIRST_DAY or figures(each, hour).asking is not None)
                for hour, asks in zip(HOURS, each.asks, strict=True)
            ),
        )
        for each in gateways
    ]


@settings(max_examples=150, deadline=None)
@given(GATEWAYS)
def test_all_sources_of_null_windows_can_go_and_every_output_is_the_same(
    gateways: list[Gateway],
) -> None:
    records, groups = lived(gateways)
    again, same = lived(thinned(gateways, records, groups))
    assert same == groups
    assert told(again) == told(records)


@settings(max_examples=150, deadline=None)
@given(GATEWAYS)
def test_whoever_adds_up_what_is_published_finds_no_group_of_fewer_than_k(
    gateways: list[Gateway],
) -> None:
    records, groups = lived(gateways)
    for record in records:
        index = HOURS.index((record.start - MIDNIGHT) // 3600)
        for cell, each in record.groups.items():
            mine = [g.streams[index] for g in gateways if groups.of(g.place) == cell]
            streaming = [streams for streams in mine if streams]
            if each.average is not None:
                assert len(streaming) >= 3
                assert max(streaming) <= 0.75 * sum(streaming)
                assert abs(each.average - sum(streaming)) <= 2.5
        total = [each.average for each in record.groups.values() if each.average is not None]
        assert as_json(Shared("r", None, [record]))["hours"][0].get("streams") == (
            sum(total) if total else None
        )


@settings(max_examples=150, deadline=None)
@given(GATEWAYS)
def test_the_day_tells_nothing_that_its_hours_do_not(gateways: list[Gateway]) -> None:
    records, _ = lived(gateways)
    told = as_json(Shared("r", None, records))
    groups: dict[str, list[tuple[int, int]]] = {}
    for hour in told["hours"]:
        for name, each in hour["groups"].items():
            if "average" in each:
                groups.setdefault(name, []).append((each["average"], each["maximum"]))
    totals = [(each["streams"], each["streams"]) for each in told["hours"] if "streams" in each]
    own = [(each["own"]["average"], each["own"]["maximum"]) for each in told["hours"]]
    assert told["day"].pop("groups", {}) == {name: day(each) for name, each in groups.items()}
    assert told["day"].pop("streams", None) == (day(totals) if totals else None)
    assert told["day"] == (day(own) if own else {"hours": 0})


def day(hours: list[tuple[int, int]]) -> dict[str, float]:
    """What anybody makes of hours that are told."""
    mean = round(sum(each for each, _ in hours) / len(hours), 1)
    return {"average": mean, "maximum": max(most for _, most in hours), "hours": len(hours)}


PARTS = st.lists(
    st.tuples(
        st.sampled_from(PLACES), st.lists(st.sampled_from([0, 0, 3, 400]), min_size=4, max_size=4)
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(PARTS)
def test_whoever_takes_five_minutes_from_the_hour_finds_no_other_five_minutes(
    gateways: list[tuple[Cell, list[int]]],
) -> None:
    groups = Groups(frozenset({WORLD, PLACES[0]}))
    counting = Counting(MIDNIGHT, 3, groups)
    for part in range(12):
        for _ in range(20):
            uses = [
                Use(f"{number:032x}", place, streams[part % 4])
                for number, (place, streams) in enumerate(gateways)
                if streams[part % 4]
            ]
            counting.look(MIDNIGHT + part * 300 + 15, uses, None, 15.0)
    record = counting.look(MIDNIGHT + 3600, [], None, 0.0)
    assert record is not None
    told = {cell for cell, each in record.groups.items() if each.average is not None}
    for part, value in enumerate(record.five_minutes):
        busy = [
            streams[part % 4]
            for place, streams in gateways
            if groups.of(place) in told and streams[part % 4]
        ]
        if any(each is not None for each in record.five_minutes):
            assert (value is None) == (not busy)
        if value is not None:
            assert len(busy) >= 3
            assert max(busy) <= 0.75 * sum(busy)

"""What is told of an hour: never of few, never more by one output than by another."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from mediafleet_scheduler.core.community.cells import WORLD, country
from mediafleet_scheduler.core.community.groups import Groups
from mediafleet_scheduler.core.community.publishing import (
    DayFigures,
    Figures,
    HourRecord,
    OwnFigures,
    day_of_all,
    days,
    figures,
    gateway_range,
    own_day,
    publish,
    rounded,
    totals,
)
from mediafleet_scheduler.core.community.rendering import Shared, as_json, as_prometheus
from mediafleet_scheduler.core.community.stored import as_stored, from_stored
from mediafleet_scheduler.core.community.windows import GroupUse, Tally, Use, window_start

K = 3
HOUR = 1_795_900_000 // 3600 * 3600
DE, FR = country("de"), country("fr")
GROUPS = Groups(frozenset({WORLD, DE, FR}))

USES = st.builds(
    Use,
    source=st.sampled_from("abcdefgh"),
    cell=st.sampled_from([WORLD, DE, FR, country("at")]),
    streams=st.integers(0, 40),
    asks=st.booleans(),
)
LOOKS = st.lists(st.lists(USES, max_size=8), min_size=1, max_size=12)


def told(looks: list[list[Use]]) -> HourRecord:
    """The record of an hour of which each look held for five minutes."""
    hour, parts = Tally(GROUPS), []
    for look in looks:
        part = Tally(GROUPS)
        for tally in (hour, part):
            tally.add(look, 300)
        parts.append(part.close())
    return publish(HOUR, hour.close(), parts, K)


def shared(record: HourRecord) -> Shared:
    """What an operator shares that has this one hour."""
    return Shared("eu-west", None, [record])


def without_nulls(looks: list[list[Use]], record: HourRecord) -> list[list[Use]]:
    """The same hour without the sources behind every figure that is not told."""

    def kept(use: Use) -> Use:
        found = record.groups.get(GROUPS.of(use.cell), Figures())
        streams = use.streams if found.average is not None else 0
        return replace(use, streams=streams, asks=use.asks and found.asking is not None)

    return [[kept(use) for use in look] for look in looks]


@given(LOOKS)
def test_what_is_not_told_could_as_well_not_have_been(looks: list[list[Use]]) -> None:
    record = told(looks)
    again = told(without_nulls(looks, record))
    assert as_prometheus(shared(again)) == as_prometheus(shared(record))
    assert json.dumps(as_json(shared(again))) == json.dumps(as_json(shared(record)))
    assert as_stored([again]) == as_stored([record])


@given(LOOKS)
def test_no_figure_stands_for_fewer_than_k_sources_or_for_one_that_has_most(
    looks: list[list[Use]],
) -> None:
    for group, each in told(looks).groups.items():
        mine = [
            (use.source, use.streams, use.asks)
            for look in looks
            for use in look
            if GROUPS.of(use.cell) == group
        ]
        streams = {source: 0 for source, count, _ in mine if count}
        for source, count, _ in mine:
            if count:
                streams[source] += count
        if each.average is not None:
            assert len(streams) >= K
            assert max(streams.values()) <= 0.75 * sum(streams.values())
        if each.asking is not None:
            assert len({source for source, _, asks in mine if asks}) >= K


@given(LOOKS)
def test_both_outputs_tell_the_same(looks: list[list[Use]]) -> None:
    record = told(looks)
    samples = {
        (sample.name, *sample.labels.values()): int(sample.value)
        for family in text_string_to_metric_families(as_prometheus(shared(record)))
        for sample in family.samples
    }
    (written,) = as_json(shared(record))["hours"]
    for name, each in written["groups"].items():
        for figure in ("average", "maximum"):
            found = samples.get(("mediafleet_community_streams", name, figure))
            assert found == each.get(figure)
        for what in ("streaming", "asking"):
            low = samples.get(("mediafleet_community_gateways", name, what, "low"))
            high = samples.get(("mediafleet_community_gateways", name, what, "high"))
            assert each.get(what) == (None if low is None else f"{low}-{high}")
    assert samples.get(("mediafleet_community_streams_published", "average")) == written.get(
        "streams"
    )


def test_one_source_with_more_than_three_quarters_hides_the_streams_of_all() -> None:
    even = GroupUse({"a": 6, "b": 1, "c": 1}, 9, frozenset())
    assert figures(even, K).average == 10
    assert figures(replace(even, streams={"a": 7, "b": 1, "c": 1}), K) == Figures()


def test_averages_are_over_the_time_that_was_looked_at_and_the_peak_is_of_one_moment() -> None:
    tally = Tally(GROUPS)
    tally.add([Use("a", DE, 10), Use("b", DE, 10)], 600)
    tally.add([Use("c", DE, 15)], 200)
    use = tally.close()[DE]
    assert use.streams == {"a": 7.5, "b": 7.5, "c": 3.75}
    assert use.peak == 20


def test_one_stream_is_a_stream_and_a_look_that_held_for_no_time_adds_none() -> None:
    tally = Tally(GROUPS)
    tally.add([Use("a", DE, 1)], 0)
    assert tally.close()[DE] == GroupUse({"a": 0.0}, 1, frozenset())
    tally.add([Use("a", DE, 1)], 60)
    assert tally.close()[DE] == GroupUse({"a": 1.0}, 1, frozenset())


@pytest.mark.parametrize(
    ("count", "span"),
    [(2, None), (3, (3, 5)), (5, (3, 5)), (6, (6, 10)), (11, (11, 20)), (40, (21, 40))],
)
def test_gateways_are_told_as_a_range_that_widens(count: int, span: tuple[int, int] | None) -> None:
    assert gateway_range(count, K) == span


@given(st.integers(2, 50), st.integers(0, 5000))
def test_a_range_holds_its_number_and_never_begins_below_k(k: int, count: int) -> None:
    span = gateway_range(count, k)
    assert (span is None) == (count < k)
    if span is not None:
        assert k <= span[0] <= count <= span[1]


@pytest.mark.parametrize(("streams", "said"), [(0, 0), (2.4, 0), (2.5, 5), (7.4, 5), (7.5, 10)])
def test_streams_are_told_in_fives(streams: float, said: int) -> None:
    assert rounded(streams) == said


def test_a_k_that_would_tell_one_source_is_refused() -> None:
    with pytest.raises(ValueError, match="k is 1"):
        publish(HOUR, {}, [], 1)


def test_totals_and_the_day_come_from_what_is_told_alone() -> None:
    hours = [
        HourRecord(
            HOUR, K, {DE: Figures(average=10, maximum=20), FR: Figures(average=5, maximum=10)}, ()
        ),
        HourRecord(HOUR + 3600, K, {DE: Figures(asking=(3, 5))}, ()),
        HourRecord(HOUR + 7200, K, {FR: Figures(average=30, maximum=45)}, ()),
    ]
    assert [totals(each) for each in hours] == [15, None, 30]
    assert day_of_all(hours) == DayFigures(22.5, 30, 2)
    assert day_of_all(hours[1:2]) is None
    assert days(hours) == {DE: DayFigures(10.0, 20, 1), FR: DayFigures(17.5, 45, 2)}
    assert own_day(hours) is None


def test_windows_begin_at_whole_hours_of_utc() -> None:
    assert window_start(HOUR + 3599.9, 3600) == HOUR
    assert window_start(HOUR + 3600, 3600) == HOUR + 3600


def test_an_hour_of_which_nothing_is_told_reads_as_one_in_which_nothing_was() -> None:
    nothing = publish(HOUR, {}, [{}] * 12, K)
    few = publish(HOUR, {DE: GroupUse({"a": 9.0}, 9, frozenset("a"))}, [{}] * 12, K)
    assert few == nothing


@given(LOOKS)
def test_an_hour_that_is_read_from_disk_is_the_one_that_was_told(looks: list[list[Use]]) -> None:
    hour = told(looks)
    parts = (*hour.five_minutes, *[None] * 12)[:12]
    record = replace(hour, own=OwnFigures(10, 15), five_minutes=parts)
    assert from_stored(as_stored([record])) == [record]


def test_five_minutes_are_told_together_or_not_at_all() -> None:
    four = dict.fromkeys("abcd", 10.0)
    hour = {WORLD: GroupUse(four, 40, frozenset())}
    told = {WORLD: GroupUse(dict.fromkeys("abc", 10.0), 30, frozenset())}
    one = {WORLD: GroupUse({"d": 400.0}, 400, frozenset())}
    assert publish(0, hour, [told, {}, told], 3).five_minutes == (30, None, 30)
    assert publish(0, hour, [told, one, told], 3).five_minutes == (None, None, None)

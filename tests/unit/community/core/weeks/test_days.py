"""Days of weeks: each figure of a row, and what is left out of it."""

from __future__ import annotations

from typing import Any

import pytest

from mediafleet_scheduler.core.community.weeks.history import Row, history
from mediafleet_scheduler.core.community.weeks.table import DayRow, table

MIDNIGHT = 1_795_910_400
HOUR = 3600


def row(values: list[tuple[float, str]], **metric: str) -> Row:
    return Row(metric=metric, values=values)


def hours(*values: int) -> list[tuple[float, str]]:
    """From midnight on."""
    return [(MIDNIGHT + HOUR * at, str(value)) for at, value in enumerate(values)]


def test_a_day_has_the_most_operators_its_hours_the_mean_and_the_most() -> None:
    told = [row(hours(1, 3, 2), region="eu")]
    streams = [
        row(hours(5, 10, 10), region="eu", figure="average"),
        row(hours(20, 45, 10), region="eu", figure="maximum"),
    ]
    assert table(told, streams) == [DayRow("2026-11-29", "eu", 3, 3, 8.3, 45)]


def test_a_day_ends_at_midnight_and_regions_stand_in_order_below_the_newest_day() -> None:
    last: list[tuple[float, str]] = [(MIDNIGHT + 86_400 - HOUR, "1"), (MIDNIGHT + 86_400, "1")]
    told = [row(last, region="us"), row(last, region="eu")]
    assert [(each.day, each.region, each.hours) for each in table(told, [])] == [
        ("2026-11-30", "eu", 1),
        ("2026-11-30", "us", 1),
        ("2026-11-29", "eu", 1),
        ("2026-11-29", "us", 1),
    ]


def test_streams_of_a_day_that_nobody_told_are_no_row() -> None:
    assert table([], [row(hours(5), region="eu", figure="average")]) == []


@pytest.mark.parametrize("text", ["NaN", "+Inf", "x", ""])
def test_what_is_no_figure_is_left_out_of_a_series(text: str) -> None:
    found = Row(metric={}, values=[(MIDNIGHT, text), (MIDNIGHT + HOUR, "5.0")])
    assert found.points() == [(MIDNIGHT + HOUR, 5)]


def sample(name: str, value: str, at: int = 0, **labels: str) -> Row:
    metric = {"__name__": f"mediafleet_community_hour_{name}", "operator": "a", **labels}
    return Row(metric=metric, values=[(MIDNIGHT + HOUR * at, value)])


def own(average: str, maximum: str, at: int = 0) -> list[Row]:
    return [
        sample("own_streams", average, at, figure="average"),
        sample("own_streams", maximum, at, figure="maximum"),
    ]


def test_the_day_of_an_operator_is_made_of_the_hours_that_are_told() -> None:
    marks = [sample("told", "1", at, region=region) for at, region in ((0, "eu"), (2, "us"))]
    found = history([*marks, *own("10", "15"), *own("100", "900", at=1), *own("25", "30", at=2)])
    (made,) = found.summaries.values()
    # The hour without a mark counts for nothing, and the newest region is the region.
    assert (made.region, made.day.average, made.day.maximum, made.day.hours) == ("us", 17.5, 30, 2)
    assert [each.start[11:13] for each in made.hours] == ["00", "02"]


@pytest.mark.parametrize(
    "half",
    [
        sample("own_streams", "10", figure="average"),
        sample("own_streams", "10", figure="maximum"),
        sample("streams", "-5", group="world", figure="average"),
        sample("told", "1", region=""),
    ],
)
def test_an_operator_of_whom_a_part_is_missing_or_wrong_is_left_out_and_no_other(
    half: Row,
) -> None:
    fine: dict[str, Any] = {"operator": "b", "region": "eu"}
    other = Row(
        metric={"__name__": "mediafleet_community_hour_told", **fine}, values=[(MIDNIGHT, "1")]
    )
    assert list(history([sample("told", "1", region="eu"), half, other]).summaries) == ["b"]


def test_a_range_of_which_one_bound_is_missing_is_not_told() -> None:
    low = sample("gateways", "3", group="world", what="asking", bound="low")
    high = sample("gateways", "5", group="world", what="asking", bound="high")
    mark = sample("told", "1", region="eu")

    def asking(*rows: Row) -> str | None:
        (made,) = history([mark, *rows]).summaries.values()
        return made.hours[0].groups["world"].asking

    assert asking(low, high) == "3-5"
    assert asking(low) is None
    assert asking(high) is None

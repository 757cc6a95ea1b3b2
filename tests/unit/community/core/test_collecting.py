"""What several operators share, together: sums where they are true, ranges where they are not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_scheduler.core.community.cells import country
from mediafleet_scheduler.core.community.collecting import (
    DayRow,
    NoSummaryError,
    OriginRow,
    RegionRow,
    read_summary,
    together,
)
from mediafleet_scheduler.core.community.publishing import Figures, HourRecord, OwnFigures
from mediafleet_scheduler.core.community.rendering import Shared, as_json

HOUR = 1_795_900_000 // 3600 * 3600


def told(region: str, streams: int, asking: tuple[int, int] | None = None) -> bytes:
    """What an operator answers."""
    own = OwnFigures(streams, streams + 5)
    groups = {country("de"): Figures(asking=asking)} if asking else {}
    hours = [HourRecord(HOUR, 3, {}, ()), HourRecord(HOUR + 3600, 3, groups, (None,) * 12, own)]
    return json.dumps(as_json(Shared(region, own, hours))).encode()


def test_streams_of_a_region_are_added_and_gateways_are_a_range() -> None:
    view = together(
        {
            "a": read_summary(told("eu-west", 10, (3, 5))),
            "b": read_summary(told("eu-west", 20, (6, 10))),
            "c": read_summary(told("us-east", 0)),
        },
        ["d"],
    )
    assert view.regions == [
        RegionRow("eu-west", 2, now=30, average=30.0, maximum=40),
        RegionRow("us-east", 1, now=0, average=0.0, maximum=5),
    ]
    assert view.origins == [OriginRow("country DE", 2, streams=None, asking=(6, 15))]
    assert (view.shared, view.unknown) == (3, ["d"])


def day_of(*averages: int | None) -> bytes:
    """What an operator answers whose hours have these averages, and claims another day."""
    hours = [
        HourRecord(HOUR + 3600 * at, 3, {country("de"): Figures(each, each and each + 5)}, ())
        for at, each in enumerate(averages)
    ]
    claim = as_json(Shared("eu-west", None, hours))
    claim["day"]["groups"] = {"country DE": {"average": 1e6, "maximum": 10**6, "hours": 24}}
    return json.dumps(claim).encode()


def test_the_day_of_an_origin_is_made_of_the_hours_that_are_told_and_of_no_claim() -> None:
    told = {"a": read_summary(day_of(10, None, 25)), "b": read_summary(day_of(0, 5))}
    silent = read_summary(day_of(None))
    view = together({**told, "c": silent}, [])
    # By hour 10, 5 and 25 streams, of which 15, 10 and 30 at most.
    assert view.days == [DayRow("country DE", 2, average=13.3, maximum=30)]
    both = together({"a": read_summary(day_of(10, 20)), "b": read_summary(day_of(30, 10))}, [])
    assert both.days == [DayRow("country DE", 2, average=35.0, maximum=50)]
    assert together({"c": silent}, []).days == []


def test_what_nobody_says_is_unknown_and_not_zero() -> None:
    nothing = read_summary(b'{"version": 1, "region": "eu"}')
    (row,) = together({"a": nothing}, []).regions
    assert (row.now, row.average, row.maximum) == (None, None, None)


def group(**figures: Any) -> dict[str, Any]:
    return {"hours": [{"start": "2026-11-28T10:00:00Z", "groups": {"world": figures}}]}


def test_a_range_of_one_and_an_average_that_is_the_maximum_are_honest() -> None:
    change = group(average=5, maximum=5, asking="3-3", streaming="3-5")
    body = {"version": 1, "region": "eu", "now": {"average": 0, "maximum": 0}, **change}
    assert read_summary(json.dumps(body).encode()).now is not None


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"version": 2}, "version"),
        ({"region": "<script>"}, "region"),
        ({"now": {"average": -1, "maximum": 0}}, "now.average"),
        ({"now": {"average": "5", "maximum": 5}}, "now.average"),
        ({"hours": [{"start": "yesterday"}]}, "hours.0.start"),
        ({"now": {"average": 10, "maximum": 5}}, "now: .*above the maximum"),
        ({"day": {"average": 10.5, "maximum": 10, "hours": 1}}, "day: .*above the maximum"),
        (group(average=10, maximum=5), "groups.world: .*above the maximum"),
        (group(asking="6-5"), "asking: .*ends below"),
        ({"day": {"average": 1e300, "hours": 1}}, "day.average"),
        ({"hours": [{"start": "2026-11-28T10:00:00Z", "groups": {"\u001b[2J": {}}}]}, "hours.0"),
    ],
)
def test_a_summary_of_another_form_is_refused_with_the_field(
    change: dict[str, Any], where: str
) -> None:
    with pytest.raises(NoSummaryError, match=where):
        read_summary(json.dumps({"version": 1, "region": "eu", **change}).encode())


@given(st.binary(max_size=200))
def test_no_answer_of_a_target_stops_the_collector(answer: bytes) -> None:
    with pytest.raises(NoSummaryError):
        read_summary(answer)

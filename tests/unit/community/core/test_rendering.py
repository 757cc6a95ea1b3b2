"""The two pages word for word: what is told has a line, and what is not has none."""

from __future__ import annotations

from mediafleet_scheduler.core.community.cells import WORLD, country
from mediafleet_scheduler.core.community.publishing import Figures, HourRecord, OwnFigures
from mediafleet_scheduler.core.community.rendering import (
    DAY_HOURS,
    Shared,
    as_json,
    as_prometheus,
)

TEN = 1_795_946_400 // 3600 * 3600
DE = Figures(average=15, maximum=20, streaming=(3, 5), asking=(6, 10))
EMPTY = HourRecord(TEN - 3600, 3, {}, (None,) * 12)
HOUR = HourRecord(
    TEN,
    3,
    {WORLD: Figures(asking=(3, 5)), country("de"): DE},
    (None, 15, *(None,) * 10),
    OwnFigures(30, 45),
)
LATER = HourRecord(TEN + 3600, 3, {}, (None,) * 12, OwnFigures(25, 40))


def test_the_summary_tells_a_day_by_its_hours() -> None:
    told = as_json(Shared("eu-west", OwnFigures(20, 25), [EMPTY, HOUR, LATER]))
    assert (told["version"], told["region"]) == (1, "eu-west")
    assert told["now"] == {"average": 20, "maximum": 25}
    assert told["day"] == {
        "average": 27.5,
        "maximum": 45,
        "hours": 2,
        "streams": {"average": 15.0, "maximum": 15, "hours": 1},
        "groups": {"country DE": {"average": 15.0, "maximum": 20, "hours": 1}},
    }
    before, hour, _ = told["hours"]
    assert hour == {
        "start": "2026-11-29T10:00:00Z",
        "k": 3,
        "own": {"average": 30, "maximum": 45},
        "streams": 15,
        "fiveMinutes": [None, 15, *[None] * 10],
        "groups": {
            "world": {"asking": "3-5"},
            "country DE": {
                "average": 15,
                "maximum": 20,
                "streaming": "3-5",
                "asking": "6-10",
            },
        },
    }
    assert before == {"start": "2026-11-29T09:00:00Z", "k": 3, "groups": {}}


def test_an_operator_that_shares_nothing_yet_tells_its_region_alone() -> None:
    nothing = Shared("eu-west", None, [])
    day = {"hours": 0}
    assert as_json(nothing) == {"version": 1, "region": "eu-west", "day": day, "hours": []}
    assert as_prometheus(nothing) == ""


def test_the_page_for_prometheus_tells_the_newest_hour() -> None:
    page = as_prometheus(Shared("eu-west", OwnFigures(20, 25), [EMPTY, HOUR]))
    samples = [line for line in page.splitlines() if not line.startswith("#")]
    assert samples == [
        'mediafleet_community_own_streams{region="eu-west",figure="now"} 20',
        'mediafleet_community_own_streams{region="eu-west",figure="average"} 30',
        'mediafleet_community_own_streams{region="eu-west",figure="maximum"} 45',
        'mediafleet_community_own_streams{region="eu-west",figure="day_average"} 30.0',
        'mediafleet_community_own_streams{region="eu-west",figure="day_maximum"} 45',
        f"mediafleet_community_hour_start_seconds {TEN}",
        'mediafleet_community_streams{group="country DE",figure="average"} 15',
        'mediafleet_community_streams{group="country DE",figure="maximum"} 20',
        'mediafleet_community_streams{group="country DE",figure="day_average"} 15.0',
        'mediafleet_community_streams{group="country DE",figure="day_maximum"} 20',
        'mediafleet_community_gateways{group="world",what="asking",bound="low"} 3',
        'mediafleet_community_gateways{group="world",what="asking",bound="high"} 5',
        'mediafleet_community_gateways{group="country DE",what="streaming",bound="low"} 3',
        'mediafleet_community_gateways{group="country DE",what="streaming",bound="high"} 5',
        'mediafleet_community_gateways{group="country DE",what="asking",bound="low"} 6',
        'mediafleet_community_gateways{group="country DE",what="asking",bound="high"} 10',
        'mediafleet_community_streams_published{figure="average"} 15',
        'mediafleet_community_streams_published{figure="day_average"} 15.0',
        'mediafleet_community_streams_published{figure="day_maximum"} 15',
    ]
    for metric in {sample.partition("{")[0].partition(" ")[0] for sample in samples}:
        assert f"# TYPE {metric} gauge\n{metric}" in page


def test_a_day_has_its_24_hours() -> None:
    assert DAY_HOURS == 24

"""Replicas without a Redis: between the largest and the sum, and the truth is in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_scheduler.community.replicas import last_day
from mediafleet_scheduler.core.community.cells import WORLD, country
from mediafleet_scheduler.core.community.checks.replicas import bounds_of, merged, span_of
from mediafleet_scheduler.core.community.publishing import (
    Figures,
    HourRecord,
    OwnFigures,
    gateway_range,
)
from mediafleet_scheduler.core.community.stored import NotStoredError, as_stored

MIDNIGHT = 1_795_910_400 // 86_400 * 86_400
NONE = (None,) * 12
ONE = HourRecord(
    MIDNIGHT,
    3,
    {WORLD: Figures(10, 20, (3, 5), (6, 10)), country("de"): Figures(asking=(3, 5))},
    NONE,
    OwnFigures(20, 30),
    {"pixels": {"all": 40}},
)
OTHER = HourRecord(
    MIDNIGHT,
    3,
    {WORLD: Figures(asking=(11, 20))},
    NONE,
    OwnFigures(15, 40),
    {"pixels": {"all": 5}, "aiByModel": {"m/sd": 10}},
)
SOURCES = st.frozensets(st.integers(0, 60), max_size=40)


def test_each_figure_is_from_the_largest_to_the_sum_of_those_who_publish_it() -> None:
    (hour,) = merged([[ONE], [OTHER]])
    assert hour["replicas"] == 2
    assert hour["own"] == {"average": (20, 35), "maximum": (40, 70)}
    assert hour["groups"] == {
        "world": {
            "average": (10, 10),
            "maximum": (20, 20),
            "streaming": (3, 5),
            "asking": (11, 30),
        },
        "country DE": {"average": None, "maximum": None, "streaming": None, "asking": (3, 5)},
    }
    assert hour["work"] == {"pixels": {"all": (40, 45)}, "aiByModel": {"m/sd": (10, 10)}}


def test_hours_are_told_by_whoever_was_there_oldest_first() -> None:
    later = replace(OTHER, start=MIDNIGHT + 3600, own=None)
    hours = merged([[ONE, later], [], [later]])
    assert [(each["start"], each["replicas"]) for each in hours] == [
        ("2026-11-29T00:00:00Z", 1),
        ("2026-11-29T01:00:00Z", 2),
    ]
    assert hours[1]["own"] == {"average": None, "maximum": None}


def test_what_nobody_publishes_has_no_bounds() -> None:
    assert bounds_of([None, None]) is None
    assert span_of([]) is None
    assert merged([]) == []


@given(st.lists(SOURCES.filter(lambda each: len(each) >= 3), min_size=1, max_size=4))
def test_gateways_of_all_replicas_are_within_the_bounds(seen: list[frozenset[int]]) -> None:
    bounds = span_of(gateway_range(len(each), 3) for each in seen)
    assert bounds is not None
    assert bounds[0] <= len(frozenset().union(*seen)) <= bounds[1]


def test_the_folders_of_replicas_are_read_and_left_as_they_are(tmp_path: Path) -> None:
    hours = [replace(ONE, start=MIDNIGHT + 3600 * number) for number in range(30)]
    (tmp_path / "2026-11-29.jsonl").write_bytes(as_stored(hours[:24]))
    (tmp_path / "2026-11-30.jsonl").write_bytes(as_stored(hours[24:]))
    (tmp_path / ".2026-11-29.jsonl.new").write_bytes(b"half")
    (tmp_path / "groups.json").write_bytes(b"{}")
    before = sorted(tmp_path.iterdir())
    assert last_day(tmp_path) == hours[-24:]
    assert sorted(tmp_path.iterdir()) == before
    assert last_day(tmp_path / "none") == []


def test_a_file_of_another_form_is_named(tmp_path: Path) -> None:
    (tmp_path / "2026-11-28.jsonl").write_bytes(b"{}\n")
    with pytest.raises(NotStoredError, match=r"2026-11-28\.jsonl"):
        last_day(tmp_path)

"""Which rooms a fleet takes, by their names."""

from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mediafleet_common.api.egress.fleet import RoomPattern
from mediafleet_scheduler.core.egress.rooms import matches, room_names

FEW = st.text("ab*", max_size=12)


@pytest.mark.parametrize(
    ("pattern", "room", "taken"),
    [
        ("vip-*", "vip-1", True),
        ("vip-*", "vip-", True),
        ("vip-*", "xvip-1", False),
        ("*", "", True),
        ("a", "a", True),
        ("a", "ab", False),
        ("a*a", "a", False),
        ("ab*ba", "aba", False),
        ("*ab*ab", "ab", False),
        ("*ab*ab*", "xabyabz", True),
        ("[a]*", "[a]b", True),
        ("a*", "a\nb", True),
    ],
)
def test_a_star_stands_for_any_text_and_nothing_else_is_special(
    pattern: str, room: str, taken: bool
) -> None:
    assert matches(pattern, room) is taken


@given(FEW, st.text("ab", max_size=12))
def test_it_matches_what_a_regular_expression_would(pattern: str, room: str) -> None:
    assert matches(pattern, room) == fnmatch.fnmatchcase(room, pattern)


def test_a_pattern_of_twenty_stars_costs_a_search_for_each() -> None:
    names = room_names(["*a" * 20 + "*b"] * 100)
    began = time.process_time()
    assert not names.take("a" * 256)
    assert time.process_time() - began < 0.5


def test_the_schema_takes_eight_stars_and_refuses_a_ninth() -> None:
    check = TypeAdapter[str](RoomPattern).validate_python
    check("!" + "*a" * 8)
    with pytest.raises(ValidationError):
        check("*a" * 9)

"""What replicas tell each other: names and cells, and never more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_scheduler.core.community.cells import WORLD, country, grid
from mediafleet_scheduler.core.community.origins.told import (
    FRESH_SECONDS,
    MOST_SOURCES,
    as_told,
    heard,
    key_id,
)
from mediafleet_scheduler.core.community.windows import Use

KEY, OTHER = b"k" * 32, b"l" * 32
A, B = "a" * 32, "b" * 32
NOW = 1_795_900_000.0
DE = country("de")


def test_a_source_that_two_tell_of_is_one_with_the_streams_of_both_and_the_finest_place() -> None:
    texts = [
        ("node-1", as_told(NOW, KEY, [Use(A, WORLD, 2), Use(B, DE, 1)])),
        ("node-2", as_told(NOW - 5, KEY, [Use(A, DE, 3)])),
        ("advertiser", as_told(NOW, KEY, [Use(A, WORLD, asks=True)])),
    ]
    found = heard(texts, KEY, NOW)
    assert found.uses == [Use(A, DE, 5, asks=True), Use(B, DE, 1)]
    assert (found.tellers, found.stale, found.why) == (3, frozenset(), None)


@pytest.mark.parametrize(
    ("at", "fresh"),
    [
        (NOW - FRESH_SECONDS, True),
        (NOW - FRESH_SECONDS - 1, False),
        (NOW + FRESH_SECONDS, True),
        (NOW + FRESH_SECONDS + 1, False),
    ],
)
def test_who_has_stopped_says_nothing_of_now(at: float, *, fresh: bool) -> None:
    found = heard([("node", as_told(at, KEY, [Use(A, DE, 1)]))], KEY, NOW)
    assert (found.tellers, bool(found.uses), found.stale) == (
        (1, True, frozenset()) if fresh else (0, False, frozenset({"node"}))
    )


def told(**changes: Any) -> str:
    text = json.loads(as_told(NOW, KEY, [Use(A, DE, 1)]))
    return json.dumps({**text, **changes})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        as_told(NOW, OTHER, [Use(A, DE, 1)]),
        told(more=1),
        told(sources=[{"name": "203.0.114.7", "cell": "world"}]),
        told(sources=[{"name": A.upper(), "cell": "world"}]),
        told(sources=[{"name": A, "cell": "world", "streams": -1}]),
        told(sources=[{"name": A, "cell": "x" * 81}]),
    ],
)
def test_another_form_and_another_key_count_as_none(text: str) -> None:
    found = heard([("node", text)], KEY, NOW)
    assert (found.uses, found.stale) == ([], frozenset({"node"}))


def test_a_place_that_is_no_cell_is_the_world() -> None:
    text = told(sources=[{"name": A, "cell": "05+51+010", "streams": 1}])
    assert heard([("node", text)], KEY, NOW).uses == [Use(A, WORLD, 1)]


def test_the_first_complaint_is_heard() -> None:
    texts = [(str(n), as_told(NOW, KEY, [], why)) for n, why in enumerate([None, "one", "two"])]
    assert heard(texts, KEY, NOW).why == "one"


def test_of_too_many_sources_the_first_are_told() -> None:
    uses = [Use(f"{number:032x}", WORLD, 1) for number in range(MOST_SOURCES + 5)]
    assert len(heard([("n", as_told(NOW, KEY, uses))], KEY, NOW).uses) == MOST_SOURCES


def test_what_tells_keys_apart_shows_nothing_of_them() -> None:
    assert key_id(KEY) == key_id(KEY) != key_id(OTHER)
    assert len(key_id(KEY)) == 16
    assert KEY.hex()[:8] not in as_told(NOW, KEY, [])


USES = st.lists(
    st.builds(
        Use,
        st.sampled_from([A, B, "c" * 32]),
        st.sampled_from([WORLD, DE, grid(52, 13)]),
        st.integers(0, 9),
        st.booleans(),
    ),
    max_size=4,
    unique_by=lambda each: each.source,
)


@given(st.lists(USES, max_size=4))
def test_no_stream_is_lost_or_made_and_the_order_of_who_tells_says_nothing(
    tellers: list[list[Use]],
) -> None:
    texts = [(str(number), as_told(NOW, KEY, uses)) for number, uses in enumerate(tellers)]
    found = heard(texts, KEY, NOW).uses
    assert found == heard(texts[::-1], KEY, NOW).uses
    told = [use for uses in tellers for use in uses]
    assert sum(each.streams for each in found) == sum(each.streams for each in told)
    assert {each.source for each in found} == {each.source for each in told}
    assert {each.source for each in found if each.asks} == {
        each.source for each in told if each.asks
    }

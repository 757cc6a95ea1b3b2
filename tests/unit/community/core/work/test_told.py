"""What desks, brokers and nodes tell of work: under names of the day, fresh, in one form."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from tests.unit.community.test_privacy import ADDRESS, ADDRESSES

from mediafleet_scheduler.core.community.sources import pseudonym
from mediafleet_scheduler.core.community.work.kinds import ALL, Family, Kind, Work
from mediafleet_scheduler.core.community.work.told import (
    MOST_WORK,
    HeardWork,
    as_told,
    heard,
)

KEY, NOW = b"k" * 32, 1_795_910_400.0
NAME = pseudonym(KEY, "room one")
TASK = Work(NAME, Family.AI, 2.0, {Kind.AI_BY_MODEL: "m/sd"})
AI = (Kind.AI_BY_TYPE, Kind.AI_BY_MODEL)


def test_what_is_told_arrives_with_the_kinds_that_are_told_of() -> None:
    texts = [("one", as_told(NOW, KEY, [TASK], AI)), ("two", as_told(NOW, KEY, [], [Kind.PIXELS]))]
    found = heard(texts, KEY, NOW + 45)
    assert found == HeardWork([TASK], frozenset({*AI, Kind.PIXELS}))
    assert found.families == {Family.AI, Family.PIXELS}


@pytest.mark.parametrize(
    "text",
    [
        as_told(NOW - 46, KEY, [TASK], AI),
        as_told(NOW + 46, KEY, [TASK], AI),
        as_told(NOW, b"o" * 32, [TASK], AI),
        "{",
        as_told(NOW, KEY, [Work("203.0.114.7", Family.AI, 1)], AI),
        as_told(NOW, KEY, [Work(NAME, Family.AI, -1)], AI),
        as_told(NOW, KEY, [Work(NAME, Family.AI, float("inf"))], AI),
        as_told(NOW, KEY, [Work(NAME, Family.AI, 2e9)], AI),
    ],
)
def test_a_text_that_is_old_of_another_key_or_another_form_counts_as_none(text: str) -> None:
    assert heard([("one", text)], KEY, NOW) == HeardWork([], frozenset(), frozenset({"one"}))


def test_what_a_newer_version_tells_of_is_left_out() -> None:
    told = json.loads(as_told(NOW, KEY, [TASK, TASK], AI))
    told["kinds"].append("shoeSizes")
    told["work"][0]["family"] = "shoes"
    told["work"][1]["cells"]["shoeSizes"] = "42"
    assert heard([("one", json.dumps(told))], KEY, NOW) == HeardWork([TASK], frozenset(AI))


def test_of_too_much_work_the_first_is_told() -> None:
    text = as_told(NOW, KEY, [TASK] * (MOST_WORK + 5), AI)
    assert len(heard([("one", text)], KEY, NOW).work) == MOST_WORK


@given(ADDRESSES)
def test_a_name_that_could_be_an_address_is_in_no_text(address: str) -> None:
    text = as_told(NOW, KEY, [Work(NAME, Family.AI, 1, {Kind.AI_BY_MODEL: address})], AI)
    assert not ADDRESS.search(text.replace(NAME, ""))
    (found,) = heard([("one", text)], KEY, NOW).work
    assert found.cells == {Kind.AI_BY_MODEL: ALL}

"""Stabilisation and limits per minute, each by itself."""

from __future__ import annotations

import pytest
from tests.kit.operator.demand_builders import NOW

from mediafleet_common.api.scaling.autoscaling import Autoscaling
from mediafleet_operator.core.autoscaling import pace
from mediafleet_operator.core.autoscaling.model import Change, Past, Policy, policy


def asked(**behavior: object) -> Policy:
    return policy(Autoscaling.model_validate({"max": 100, "behavior": behavior}))


def test_a_change_of_the_count_is_remembered_by_its_direction() -> None:
    up = pace.looked(Past(replicas=2), 5, NOW)
    assert up == Past(5, (Change(NOW, 3, 0),), last_change=NOW)
    down = pace.looked(Past(replicas=5), 2, NOW)
    assert down.changes == (Change(NOW, 0, 3),)


def test_the_first_look_and_one_that_finds_the_same_are_no_change() -> None:
    assert pace.looked(Past(), 5, NOW) == Past(5)
    assert pace.looked(Past(replicas=5), 5, NOW) == Past(5)


def test_changes_of_the_last_minute_are_kept_and_those_of_a_clock_far_ahead_are_not() -> None:
    times = (NOW - 60, NOW - 59.9, NOW + 59.9, NOW + 60)
    past = Past(5, tuple(Change(at, 1, 0) for at in times))
    assert [each.at for each in pace.looked(past, 5, NOW).changes] == [NOW - 59.9, NOW + 59.9]


def test_changes_within_five_seconds_count_as_one_of_the_later_time() -> None:
    at = NOW // 5 * 5
    past = Past(5, (Change(at, 2, 1),))
    assert pace.looked(past, 8, at + 4.9).changes == (Change(at + 4.9, 5, 1),)
    assert pace.looked(past, 8, at + 5).changes == (Change(at, 2, 1), Change(at + 5, 3, 0))


def test_advice_is_kept_from_when_it_began_to_hold_for_as_long_as_a_window_reaches_it() -> None:
    advice = pace.advised((), 3, NOW, 60)
    assert advice == ((NOW, 3),)
    assert pace.advised(advice, 3, NOW + 9, 60) == advice, "it holds on"
    two = pace.advised(advice, 4, NOW + 10, 60)
    assert two == ((NOW, 3), (NOW + 10, 4))
    assert pace.advised(two, 4, NOW + 69.9, 60) == two
    assert pace.advised(two, 4, NOW + 70, 60) == ((NOW + 10, 4),)


def test_where_advice_changes_too_often_the_oldest_two_are_one_by_the_higher() -> None:
    many = tuple((NOW + at, at % 2 + 3) for at in range(pace.MAX_ADVICE))
    merged = pace.advised(many, 9, NOW + 600, 3600)
    assert len(merged) == pace.MAX_ADVICE
    assert merged[:2] == ((NOW, 4), (NOW + 2, 3))
    assert merged[-1] == (NOW + 600, 9)


def test_what_was_wanted_at_any_time_in_the_window_is_in_it() -> None:
    advice = ((NOW - 90, 5), (NOW - 60, 4), (NOW - 10, 3))
    assert pace.within(advice, 60, NOW) == [4, 3]
    assert pace.within(advice, 60.1, NOW) == [5, 4, 3]
    assert pace.within(advice, 0, NOW) == [3], "what is wanted now is part of every window"


def test_up_goes_to_the_least_and_down_to_the_most_that_was_wanted_in_the_window() -> None:
    policy = asked(scaleUp={"stabilization": "30s"}, scaleDown={"stabilization": "60s"})
    advice = ((NOW - 50, 6), (NOW - 20, 8), (NOW - 10, 4))
    assert pace.stabilised(policy, 2, advice, NOW) == 4
    assert pace.stabilised(policy, 5, advice, NOW) == 5
    assert pace.stabilised(policy, 9, advice, NOW) == 8


@pytest.mark.parametrize(
    ("replicas", "target", "count"),
    [(10, 12, 12), (10, 20, 13), (10, 10, 10), (10, 9, 9), (10, 2, 8)],
)
def test_a_minute_adds_and_removes_no_more_than_its_limits(
    replicas: int, target: int, count: int
) -> None:
    policy = asked(scaleUp={"perMinute": 4}, scaleDown={"perMinute": 5})
    changes = (Change(NOW - 5, 1, 1), Change(NOW - 1, 0, 2))
    assert pace.limited(policy, replicas, target, changes) == count


def test_who_has_used_up_the_minute_waits_and_where_nothing_is_limited_all_is_done() -> None:
    policy = asked(scaleUp={"perMinute": 1}, scaleDown={"perMinute": 1})
    spent = (Change(NOW, 3, 3),)
    assert pace.limited(policy, 10, 12, spent) == 10
    assert pace.limited(policy, 10, 8, spent) == 10
    free = asked()
    assert pace.limited(free, 10, 90, spent) == 90
    assert pace.limited(free, 10, 1, spent) == 1

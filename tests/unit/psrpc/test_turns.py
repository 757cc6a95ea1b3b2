"""The time of a shared desk: who has used more than it may rests, and who needs little never."""

from __future__ import annotations

import pytest

from mediafleet_scheduler.core.psrpc.turns import (
    Allowance,
    TurnTimes,
    filled,
    full,
    rate,
    rest_seconds,
)

TIMES = TurnTimes(part=0.5, turn_seconds=0.001, allowance_seconds=0.02)


def test_a_tenant_that_is_new_may_use_a_whole_allowance() -> None:
    assert full(TIMES, 7.0) == Allowance(0.02, 7.0)
    assert rest_seconds(full(TIMES, 7.0), 0.5, TIMES) == 0.0


def test_an_allowance_is_filled_with_time_and_never_above_its_size() -> None:
    spent = Allowance(-0.01, 7.0)
    assert filled(spent, 0.5, TIMES, 7.02).left == pytest.approx(0.0)
    assert filled(spent, 0.5, TIMES, 7.02).at == 7.02
    assert filled(spent, 0.5, TIMES, 9.0) == Allowance(0.02, 9.0)


def test_a_clock_that_stands_still_or_goes_back_takes_nothing_away() -> None:
    assert filled(Allowance(0.01, 7.0), 0.5, TIMES, 7.0) == Allowance(0.01, 7.0)
    assert filled(Allowance(0.01, 7.0), 0.5, TIMES, 6.0) == Allowance(0.01, 6.0)


def test_a_tenant_in_debt_rests_until_it_may_use_a_whole_turn() -> None:
    assert rest_seconds(Allowance(-0.01, 7.0), 0.5, TIMES) == pytest.approx(0.022)
    assert rest_seconds(Allowance(-0.01, 7.0), 0.25, TIMES) == pytest.approx(0.044)
    assert rest_seconds(Allowance(0.0, 7.0), 0.5, TIMES) == 0.0


def test_tenants_in_debt_share_one_part_of_the_time() -> None:
    assert [rate(TIMES, in_debt) for in_debt in (0, 1, 2, 5)] == [0.5, 0.5, 0.25, 0.1]


def test_over_a_minute_one_that_always_wants_more_gets_its_part_and_no_more() -> None:
    now, used, allowance = 0.0, 0.0, full(TIMES, 0.0)
    while now < 60.0:
        allowance = Allowance(allowance.left - 0.003, now)
        used += 0.003
        now += 0.003 + rest_seconds(allowance, 0.5, TIMES)
        allowance = filled(allowance, 0.5, TIMES, now)
    assert used == pytest.approx(60.0 * 0.5 + 0.02, rel=0.01)

"""Streams of who is silent, from payouts: marked, bounded, and never more sure than the sharers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_scheduler.core.community.checks.estimate import Sharer, estimate, quantile

FIGURE = st.floats(0, 1e6)
SHARERS = st.lists(st.builds(Sharer, FIGURE, st.floats(1e-3, 1e6)), min_size=3, max_size=12)


def test_a_payout_is_worth_the_streams_that_those_who_share_have_for_it() -> None:
    sharers = [Sharer(10, 1), Sharer(40, 2), Sharer(10, 3)]
    found = estimate(4, sharers)
    assert found is not None
    assert (found.streams, found.sharers) == (40, 3)
    # The ratios are 10, 20 and 3 1/3: a tenth of the way in from either end.
    assert found.low == pytest.approx(4 * (10 / 3 + 0.2 * (10 - 10 / 3)))
    assert found.high == pytest.approx(4 * 18)


@pytest.mark.parametrize(
    "unusable",
    [Sharer(5, 0), Sharer(-1, 1), Sharer(math.nan, 1), Sharer(5, math.inf), Sharer(5, -1)],
)
def test_two_who_share_have_no_range_and_one_without_a_payout_is_none(unusable: Sharer) -> None:
    two = [Sharer(10, 1), Sharer(10, 1)]
    assert estimate(1, [*two, unusable]) is None
    assert estimate(1, [*two, Sharer(0, 1)]) is not None


@pytest.mark.parametrize("payout", [-1.0, math.nan, math.inf])
def test_a_payout_that_is_none_is_no_estimate(payout: float) -> None:
    assert estimate(payout, [Sharer(10, 1)] * 3) is None
    assert estimate(0.0, [Sharer(10, 1)] * 3) is not None


@given(FIGURE, SHARERS)
def test_an_estimate_lies_in_its_range_and_the_range_among_those_who_share(
    payout: float, sharers: list[Sharer]
) -> None:
    found = estimate(payout, sharers)
    assert found is not None
    ratios = [each.streams / each.payout for each in sharers]
    assert payout * min(ratios) * 0.999999 <= found.low + 1e-9
    assert found.low <= found.streams <= found.high
    assert found.high <= payout * max(ratios) * 1.000001 + 1e-9


def test_a_large_operator_widens_the_range_and_does_not_leave_it() -> None:
    sharers = [Sharer(1, 1), Sharer(1, 1), Sharer(1, 1), Sharer(9000, 1000)]
    found = estimate(1, sharers)
    assert found is not None
    assert found.low == 1
    assert found.high == found.streams == pytest.approx(9003 / 1003)
    small = estimate(1, [Sharer(9, 1)] * 3 + [Sharer(1000, 1000)])
    assert small is not None
    assert small.low == small.streams == pytest.approx(1027 / 1003)
    assert small.high == 9


@pytest.mark.parametrize(("share", "value"), [(0, 1), (0.5, 2), (0.25, 1.5), (0.9, 7.2), (1, 8.5)])
def test_a_quantile_lies_between_its_neighbours(share: float, value: float) -> None:
    assert quantile([1, 2, 8.5], share) == pytest.approx(value)
    assert quantile([4], share) == 4

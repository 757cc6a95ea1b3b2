"""How long a pod's bid is waited for, and what a late one takes back."""

from __future__ import annotations

import pytest

from mediafleet_scheduler.core.egress.bid_times import KEPT, BidTimes
from mediafleet_scheduler.core.egress.quarantine import (
    Case,
    Fault,
    Rules,
    Standing,
    after,
    after_late_bid,
)

LEAST, MOST = 0.2, 1.0


def waited(*seen: float) -> float:
    times = BidTimes()
    for seconds in seen:
        times.note("u0", seconds)
    return times.wait("u0", LEAST, MOST)


def test_a_pod_that_never_bid_is_waited_for_as_usual() -> None:
    assert waited() == LEAST


def test_a_slow_pod_is_waited_for_longer_and_never_beyond_the_bound() -> None:
    assert waited(0.3) == pytest.approx(0.6)
    assert waited(0.9) == MOST
    assert waited(0.01) == LEAST


def test_one_slow_bid_of_many_counts_little_and_is_forgotten() -> None:
    assert waited(0.4, *[0.02] * 40) == LEAST
    assert waited(*[0.4] * KEPT, *[0.02] * KEPT) == LEAST


def test_each_pod_by_itself_and_those_that_are_gone_are_forgotten() -> None:
    times = BidTimes()
    times.note("u0", 0.4)
    assert times.wait("u1", LEAST, MOST) == LEAST
    times.keep_only({"u1"})
    assert times.wait("u0", LEAST, MOST) == LEAST


def silent(times: int) -> Case:
    case = None
    for _ in range(times):
        case = after(case, Fault.NO_BID, 0.0, Rules())
    assert case is not None
    return case


def test_a_late_bid_takes_back_one_silence() -> None:
    assert after_late_bid(silent(1)) is None
    left = after_late_bid(silent(2))
    assert left is not None
    assert left.faults == 1


def test_a_late_bid_brings_a_pod_back_that_was_left_out_for_its_silence() -> None:
    out = silent(3)
    assert out.standing(1.0) is Standing.OUT
    assert after_late_bid(out) is None


def test_other_faults_stay() -> None:
    case = after(None, Fault.FAILED, 0.0, Rules())
    assert after_late_bid(case) == case

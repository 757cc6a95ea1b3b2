"""Upstream's auction: what pods bid, what a pending bid costs, whom the client takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.api.egress.placement import Mode
from mediafleet_scheduler.core.egress.placement.affinity import (
    BUSY,
    CANNOT,
    IDLE,
    JITTER,
    PENDING_SECONDS,
    Bid,
    Bidder,
    Chosen,
    PendingBids,
    bid,
    free_fraction,
    knows_mode,
    select,
)

TRACK, PAGE = 0.5, 4.0
EMPTY = Bidder(cores=8.0, available_cores=8.0, idle=True)
HALF = Bidder(cores=8.0, available_cores=4.0, idle=False)
FULL = Bidder(cores=8.0, available_cores=0.25, idle=False)


def waiting(pod: Bidder, pending: int) -> Bidder:
    return Bidder(pod.cores, pod.available_cores, pod.idle, pending)


OFF = Bidder(8.0, 8.0, idle=True, disabled=True)

BIDS = {
    # mode, pod, CPUs needed, needs Chrome -> bid
    "pack: an idle pod holds back": (Mode.PACK, EMPTY, TRACK, False, IDLE),
    "pack: a busy one bids the most": (Mode.PACK, HALF, TRACK, False, BUSY),
    "pack: also for a page": (Mode.PACK, HALF, PAGE, True, BUSY),
    "pack: a page on an idle pod": (Mode.PACK, EMPTY, PAGE, True, IDLE),
    "pack: pending bids change nothing": (Mode.PACK, waiting(HALF, 5), TRACK, False, BUSY),
    "pack: a full pod cannot": (Mode.PACK, FULL, TRACK, False, CANNOT),
    "pack: a disabled pod cannot": (Mode.PACK, OFF, TRACK, False, CANNOT),
    "spread: an idle pod bids the most": (Mode.SPREAD, EMPTY, TRACK, False, 1.0),
    "spread: a busy one what it has free": (Mode.SPREAD, HALF, TRACK, False, 0.5),
    "spread: a page as anything else": (Mode.SPREAD, HALF, PAGE, True, 0.5),
    "spread: a pending bid counts as a track": (Mode.SPREAD, waiting(EMPTY, 4), TRACK, False, 0.75),
    "spread: pending bids end at 0": (Mode.SPREAD, waiting(HALF, 99), TRACK, False, 0.0),
    "spread: a full pod cannot": (Mode.SPREAD, FULL, TRACK, False, CANNOT),
    "spread: a disabled pod cannot": (Mode.SPREAD, OFF, TRACK, False, CANNOT),
    "type_aware: a page to an idle pod": (Mode.TYPE_AWARE, EMPTY, PAGE, True, BUSY),
    "type_aware: else wherever it fits": (Mode.TYPE_AWARE, HALF, PAGE, True, IDLE),
    "type_aware: pages do not mind pending bids": (
        Mode.TYPE_AWARE,
        waiting(EMPTY, 1),
        PAGE,
        True,
        BUSY,
    ),
    "type_aware: a track by what is free": (Mode.TYPE_AWARE, HALF, TRACK, False, 0.5),
    "type_aware: an idle pod for a track": (Mode.TYPE_AWARE, EMPTY, TRACK, False, 1.0),
    "type_aware: a full pod cannot": (Mode.TYPE_AWARE, FULL, PAGE, True, CANNOT),
    "type_aware: a disabled pod cannot": (Mode.TYPE_AWARE, OFF, PAGE, True, CANNOT),
    "exactly enough is enough": (Mode.PACK, HALF, 4.0, True, BUSY),
}


@pytest.mark.parametrize(("mode", "pod", "cores", "chrome", "wanted"), BIDS.values(), ids=BIDS)
def test_the_bid(mode: Mode, pod: Bidder, cores: float, chrome: bool, wanted: float) -> None:
    assert bid(pod, cores, chrome, mode) == wanted


@given(mode=st.sampled_from(Mode), jitter=st.floats(0, 1), idle=st.booleans())
def test_jitter_takes_off_at_most_a_thousandth_and_never_touches_pack(
    mode: Mode, jitter: float, idle: bool
) -> None:
    pod = EMPTY if idle else HALF
    plain, shaken = (bid(pod, TRACK, False, mode, jitter=each) for each in (0.0, jitter))
    assert plain - JITTER <= shaken <= plain
    assert mode is not Mode.PACK or shaken == plain


@given(
    cores=st.floats(0.5, 64),
    available=st.floats(-8, 64),
    pending=st.integers(0, 100),
    track=st.floats(0.1, 4),
)
def test_a_free_fraction_is_a_fraction_and_falls_with_each_pending_bid(
    cores: float, available: float, pending: int, track: float
) -> None:
    pod = Bidder(cores, available, idle=False, pending=pending)
    more = Bidder(cores, available, idle=False, pending=pending + 1)
    assert 0.0 <= free_fraction(more, track) <= free_fraction(pod, track) <= 1.0


def test_a_bid_that_nobody_took_up_is_forgotten_after_two_seconds() -> None:
    bids = PendingBids().made(10.0).made(11.0)
    assert [bids.count(at) for at in (11.0, 11.99, 12.0, 12.99, 13.0)] == [2, 2, 1, 1, 0]
    assert PENDING_SECONDS == 2.0


def test_a_job_without_a_pending_bid_drops_none() -> None:
    assert PendingBids().consumed(5.0).count(5.0) == 0
    assert PendingBids().made(0.0).consumed(2.5).made(2.5).count(2.5) == 1


@given(
    st.lists(
        st.tuples(st.sampled_from(["made", "consumed"]), st.floats(0, 1)),
        max_size=60,
    )
)
def test_each_pending_bid_is_dropped_exactly_once(steps: list[tuple[str, float]]) -> None:
    bids, now, made, consumed, forgotten = PendingBids(), 0.0, 0, 0, 0
    for step, pause in steps:
        before = bids.count(now)
        now += pause
        forgotten += before - bids.count(now)
        there = bids.count(now)
        if step == "made":
            bids, made = bids.made(now), made + 1
        else:
            bids, consumed = bids.consumed(now), consumed + min(1, there)
        assert made == consumed + forgotten + bids.count(now)
    assert bids.count(now + PENDING_SECONDS) == 0


MODES = {
    # bids, mode -> whether they know it
    "idle pods of a stock build": ([0.5, 0.5], Mode.SPREAD, False),
    "a busy one among others": ([0.99931, 1.0], Mode.TYPE_AWARE, False),
    "patched ones": ([0.99931, 0.61202], Mode.SPREAD, True),
    "in pack they bid the same": ([0.5], Mode.PACK, None),
    "nobody bids": ([], Mode.SPREAD, None),
    "nobody has anything free": ([0.0, CANNOT], Mode.SPREAD, None),
}


@pytest.mark.parametrize(("bids", "mode", "wanted"), MODES.values(), ids=MODES)
def test_whether_pods_know_their_mode(bids: list[float], mode: Mode, wanted: bool | None) -> None:
    assert knows_mode(bids, mode) is wanted


CHOICES = {
    "nobody bids": ([], None),
    "a bid of 0 begins the wait": (
        [Bid("a", 0.0, 0.1), Bid("b", 0.5, 0.5), Bid("c", 0.9, 0.7)],
        Chosen("b", 0.6),
    ),
    "silence and 0 win nothing": ([Bid("a", CANNOT, 0.0), Bid("b", 0.0, 0.1)], None),
    "the first busy pod wins at once": (
        [Bid("a", IDLE, 0.001), Bid("b", BUSY, 0.002), Bid("c", BUSY, 0.003)],
        Chosen("b", 0.002),
    ),
    "idle pods alone cost half a second": ([Bid("a", IDLE, 0.001)], Chosen("a", 0.501)),
    "of equal ones the first": ([Bid("b", IDLE, 0.002), Bid("a", IDLE, 0.001)], Chosen("a", 0.501)),
    "else the highest": ([Bid("a", 0.4, 0.1), Bid("b", 0.6, 0.2)], Chosen("b", 0.6)),
    "a better one that comes too late": (
        [Bid("a", 0.4, 0.1), Bid("b", 1.0, 0.7)],
        Chosen("a", 0.6),
    ),
    "a late first bid": ([Bid("a", 0.4, 0.9)], Chosen("a", 1.0)),
    "a bid after the deadline": ([Bid("a", BUSY, 1.0)], None),
}


@pytest.mark.parametrize(("bids", "wanted"), CHOICES.values(), ids=CHOICES)
def test_whom_the_client_takes(bids: list[Bid], wanted: Chosen | None) -> None:
    chosen = select(bids)
    assert (chosen is None) == (wanted is None)
    if chosen and wanted:
        assert chosen.pod == wanted.pod
        assert chosen.after_seconds == pytest.approx(wanted.after_seconds)

"""Which bid is taken, and when the wait for better ones ends."""

from __future__ import annotations

import pytest

from mediafleet_scheduler.core.psrpc.selection import (
    ACCEPT_FIRST,
    UPSTREAM_START_EGRESS,
    Auction,
    Selection,
    auction,
)


def after(selection: Selection, *bids: tuple[str, float, float]) -> Auction:
    """The auction after these bids: bidder, affinity, seconds."""
    now = auction(selection)
    for bidder, affinity, at in bids:
        now = now.bid(bidder, affinity, at)
    return now


def test_a_client_waits_for_a_second_unless_told_otherwise_and_takes_the_highest() -> None:
    nobody = auction(Selection())
    assert (nobody.closes, nobody.best, nobody.affinity) == (1.0, None, 0.0)
    assert (nobody.heard, nobody.over) == (False, False)
    some = after(Selection(), ("a", 0.4, 0.1), ("b", 0.9, 0.2), ("c", 0.5, 0.3))
    assert (some.best, some.affinity, some.closes) == ("b", 0.9, 1.0)
    assert (some.heard, some.over) == (True, False)


def test_of_equal_bids_the_first_is_the_best() -> None:
    assert after(Selection(), ("a", 0.5, 0.1), ("b", 0.5, 0.2)).best == "a"


def test_a_bid_of_nothing_is_heard_and_never_taken() -> None:
    some = after(UPSTREAM_START_EGRESS, ("a", 0.0, 0.2), ("b", 0.0, 0.3))
    assert (some.best, some.heard, some.over) == (None, True, False)
    assert some.closes == 0.7, "the wait for better ones has begun"


def test_the_first_bid_and_no_later_one_begins_the_shorter_wait() -> None:
    some = after(UPSTREAM_START_EGRESS, ("a", 0.5, 0.1), ("b", 0.6, 0.3))
    assert (some.best, some.closes) == ("b", 0.6)


def test_the_shorter_wait_is_never_longer_than_the_time_out() -> None:
    assert after(UPSTREAM_START_EGRESS, ("late", 0.5, 0.9)).closes == 1.0


@pytest.mark.parametrize("affinity", [1.0, 1.5])
def test_a_bid_as_high_as_can_be_ends_the_wait_at_once(affinity: float) -> None:
    some = after(UPSTREAM_START_EGRESS, ("a", 0.9, 0.1), ("b", affinity, 0.2))
    assert (some.best, some.affinity, some.closes) == ("b", affinity, 0.2)
    assert (some.heard, some.over) == (True, True)


def test_without_a_highest_affinity_no_bid_ends_the_wait() -> None:
    assert not after(Selection(), ("a", 100.0, 0.1)).over


def test_a_client_that_takes_the_first_bid_takes_one_of_nothing_too() -> None:
    some = after(ACCEPT_FIRST, ("a", 0.0, 0.1))
    assert (some.best, some.affinity, some.closes, some.over) == ("a", 0.0, 0.1, True)


def test_egress_is_started_as_livekit_server_starts_it() -> None:
    assert (
        Selection(
            accept_first=False,
            maximum_affinity=1.0,
            affinity_timeout_seconds=1.0,
            short_circuit_seconds=0.5,
        )
        == UPSTREAM_START_EGRESS
    )

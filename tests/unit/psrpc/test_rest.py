"""How long a connection rests between two looks at what came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_scheduler.psrpc.link import (
    no_rest,
    rest_unawaited,
    rest_when_busy,
    to_tick,
)


def test_the_few_messages_of_one_start_are_never_kept_waiting() -> None:
    assert [rest_when_busy(count) for count in (0, 1, 4)] == [0.0, 0.0, 0.0]


def test_the_more_came_together_the_longer_others_are_gathered_up_to_a_bound() -> None:
    rests = [rest_when_busy(count) for count in range(5, 200)]
    assert rests == sorted(rests)
    assert rests[0] == 0.001
    assert rests[-1] == 0.004


def test_replies_that_nobody_waits_for_are_read_seldom_and_awaited_ones_at_once() -> None:
    assert no_rest(100) == 0.0
    assert rest_unawaited(1) == 0.02


@given(now_ms=st.integers(0, 10**9), rest_ms=st.integers(20, 300))
def test_long_rests_end_in_the_same_moments_and_none_is_longer(now_ms: int, rest_ms: int) -> None:
    rest = to_tick(rest_ms / 1000, now_ms / 1000)
    assert 0 < rest <= rest_ms / 1000
    assert rest > (rest_ms - 20) / 1000
    ends = now_ms + 1000 * rest
    assert (ends - rest_ms) % 20 == pytest.approx(0, abs=0.01)


def test_a_rest_of_a_busy_connection_is_no_longer_for_it() -> None:
    assert [to_tick(seconds, 0.0199) for seconds in (0.001, 0.004)] == [0.001, 0.004]

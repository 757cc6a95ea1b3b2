"""Pauses between attempts."""

from __future__ import annotations

from mediafleet_common.back_off import BackOff


def test_each_pause_is_twice_the_one_before_up_to_the_longest() -> None:
    back_off = BackOff(0.5, 3.0)
    assert [back_off.pause() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_after_a_success_the_first_pause_comes_again() -> None:
    back_off = BackOff(0.5, 3.0)
    back_off.pause()
    back_off.reset()
    assert back_off.pause() == 0.5

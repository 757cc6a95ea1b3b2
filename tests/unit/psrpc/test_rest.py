"""How long a connection rests between two looks at what came."""

from __future__ import annotations

from mediafleet_scheduler.psrpc.link import no_rest, rest_unawaited, rest_when_busy


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

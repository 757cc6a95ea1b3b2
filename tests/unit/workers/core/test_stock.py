"""Whether a stock worker will come back, by when it was last seen and with what."""

from __future__ import annotations

import pytest

from mediafleet_scheduler.core.workers.stock import (
    AWAY_SECONDS,
    TASK_SECONDS,
    LastSeen,
    Presence,
)


@pytest.mark.parametrize(
    ("tasks", "away", "found"),
    [
        (0, 0.0, Presence.AWAY),
        (0, AWAY_SECONDS, Presence.AWAY),
        (0, AWAY_SECONDS + 0.1, Presence.STOPPED),
        (1, AWAY_SECONDS + 0.1, Presence.AWAY),
        (1, AWAY_SECONDS + TASK_SECONDS, Presence.AWAY),
        (1, AWAY_SECONDS + TASK_SECONDS + 0.1, Presence.STOPPED),
    ],
)
def test_one_that_left_with_tasks_may_finish_them_before_it_counts_as_stopped(
    tasks: int, away: float, found: Presence
) -> None:
    seen = LastSeen(0.0)
    assert seen.look(10.0, here=True) is Presence.HERE
    seen.left(tasks, 10.0)
    assert seen.look(10.0 + away, here=False) is found


def test_one_that_never_came_has_the_time_of_one_without_tasks() -> None:
    seen = LastSeen(5.0, away_seconds=3.0)
    assert seen.look(8.0, here=False) is Presence.AWAY
    assert seen.look(8.1, here=False) is Presence.STOPPED


def test_one_that_comes_back_is_there_and_the_time_begins_anew() -> None:
    seen = LastSeen(0.0, away_seconds=3.0)
    seen.left(2, 1.0)
    assert seen.look(10.0, here=False) is Presence.AWAY
    assert seen.look(1000.0, here=True) is Presence.HERE
    # What it had before is over.
    seen.left(0, 1000.0)
    assert seen.look(1003.0, here=False) is Presence.AWAY
    assert seen.look(1003.1, here=False) is Presence.STOPPED


def test_the_longest_pause_of_a_stock_worker_is_within_the_time() -> None:
    assert AWAY_SECONDS > 60 * 1.5 + 20

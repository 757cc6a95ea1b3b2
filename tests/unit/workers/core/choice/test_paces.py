"""How long workers take, as they have shown."""

from __future__ import annotations

import pytest

from mediafleet_scheduler.core.workers.choice.paces import ENOUGH, FORGET_SECONDS, Paces
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.views import Target

SD = Target(Pipeline.TEXT_TO_IMAGE, "sd")
WHISPER = Target(Pipeline.AUDIO_TO_TEXT, "whisper")


def shown(target: Target = SD, **seconds: float) -> Paces:
    """Workers that took so long for each of as many tasks as are enough."""
    some = Paces()
    for name, each in seconds.items():
        for _ in range(ENOUGH):
            some.took(name, target, each, 0.0)
    return some


def test_a_pace_is_beside_the_median_worker() -> None:
    some = shown(a=0.5, b=1.0, c=1.0, d=2.0)
    assert [some.pace(each, SD) for each in "abcd"] == [0.5, 1.0, 1.0, 2.0]


def test_of_two_the_faster_one_is_usual() -> None:
    some = shown(a=3.0, b=6.0)
    assert (some.pace("a", SD), some.pace("b", SD)) == (1.0, 2.0)


@pytest.mark.parametrize("seconds", [0.86, 1.0, 1.18])
def test_workers_that_differ_by_chance_are_equal(seconds: float) -> None:
    assert shown(a=1.0, b=1.0, c=seconds).pace("c", SD) == 1.0


@pytest.mark.parametrize(("seconds", "pace"), [(0.72, 2**-0.5), (1.4, 2**0.5), (1.9, 2.0)])
def test_a_pace_is_told_in_steps_of_two_in_a_factor_of_two(seconds: float, pace: float) -> None:
    assert shown(a=1.0, b=1.0, c=seconds).pace("c", SD) == pytest.approx(pace)


@pytest.mark.parametrize(("seconds", "pace"), [(1e-9, 0.25), (0.0, 0.25), (900.0, 4.0)])
def test_no_worker_counts_as_more_than_four_times_as_fast_or_slow(
    seconds: float, pace: float
) -> None:
    assert shown(a=1.0, b=1.0, c=seconds).pace("c", SD) == pace


def test_what_is_not_known_is_as_usual() -> None:
    some = shown(a=1.0, b=2.0)
    assert some.pace("new", SD) == 1.0
    assert some.pace("b", WHISPER) == 1.0
    for _ in range(ENOUGH - 1):
        some.took("new", SD, 9.0, 0.0)
    assert some.pace("new", SD) == 1.0
    some.took("new", SD, 9.0, 0.0)
    assert some.pace("new", SD) == 4.0


def test_few_tasks_that_take_unusually_long_do_not_count() -> None:
    some = shown(a=1.0, b=1.0)
    for seconds in (60.0, 1.0, 1.0, 60.0, 60.0, 1.0, 1.0, 60.0, 1.0):
        some.took("b", SD, seconds, 0.0)
    assert some.pace("b", SD) == 1.0


def test_a_worker_that_became_slow_shows_it_by_its_last_nine_tasks() -> None:
    some = shown(a=1.0, c=1.0)
    for _ in range(9):
        some.took("b", SD, 1.0, 0.0)
    for _ in range(4):
        some.took("b", SD, 4.0, 0.0)
    assert some.pace("b", SD) == 1.0
    some.took("b", SD, 4.0, 0.0)
    assert some.pace("b", SD) == 4.0


def test_who_is_forgotten_counts_for_nothing() -> None:
    some = shown(a=1.0, b=4.0)
    assert some.forget("a", SD)
    assert some.pace("b", SD) == 1.0
    assert some.pace("a", SD) == 1.0
    assert not some.forget("a", SD)
    assert some.forget("b", SD)
    assert not some.forget("b", SD)


def test_it_says_when_others_look_different() -> None:
    some = Paces()
    told = [some.took("a", SD, 1.0, 0.0) for _ in range(ENOUGH + 1)]
    assert told == [False, False, True, False]
    assert [some.took("b", SD, 2.0, 0.0) for _ in range(ENOUGH)] == [False, False, False]
    assert [some.took("c", SD, 2.0, 0.0) for _ in range(ENOUGH)] == [False, False, True]


def test_a_worker_is_known_until_ten_minutes_after_its_last_task() -> None:
    some = shown(a=1.0)
    assert some.until("a", SD) == FORGET_SECONDS
    assert FORGET_SECONDS == 600
    some.took("a", SD, 1.0, 30.0)
    assert some.until("a", SD) == 630
    some.forget("a", SD)
    assert some.until("a", SD) is None

"""The fewest pods that refuse none of a trace's jobs, and where the search for them begins."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kit.simulate import traces as invented

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.simulate.fewest import (
    Fullest,
    fullest,
    pods_at_peak,
    pods_guessed,
    pods_needed,
)
from mediafleet_scheduler.simulate.running import refuses
from mediafleet_scheduler.simulate.setup import Placing, Setup
from mediafleet_scheduler.simulate.traces import TraceJob

MOST = 90


def tracks(*at: float) -> list[TraceJob]:
    """Jobs that take ten seconds each."""
    return [TraceJob(each, RequestType.TRACK, 10.0) for each in at]


@given(enough=st.integers(1, 300), start=st.integers(1, 50))
def test_pods_needed_is_the_fewest_that_refuse_nothing(enough: int, start: int) -> None:
    asked: list[int] = []

    def refused_with(pods: int) -> bool:
        asked.append(pods)
        return enough > pods

    wanted = enough if enough <= 200 else None
    assert pods_needed(refused_with, start, 200) == wanted
    assert len(asked) <= 20
    if enough == start > 1:
        assert sorted(asked) == [enough - 1, enough], "a right guess costs two runs"


def test_the_fullest_moment_and_the_pods_whose_cpus_it_takes() -> None:
    cpu = Setup().costs.track
    # The one that ends at 10 leaves its place to the one that begins.
    found = fullest(tracks(0, 5, 9, 10, 30), Setup())
    assert found == Fullest(9.0, 3 * cpu, 3)
    assert pods_at_peak(found, Setup(cpu=cpu, max_cpu_utilization=1)) == 3
    assert pods_at_peak(found, Setup(cpu=cpu * 2, max_cpu_utilization=1)) == 2
    assert pods_at_peak(fullest([], Setup()), Setup()) == 1


SMALL_PODS = Setup(pods=20, cpu=4.0)
JOBS = invented.loading(random.Random(1), SMALL_PODS, 0.9, span=450, mean=40)


def refused_with(placing: Placing, tried: list[int]) -> Callable[[int], bool]:
    """Whether a job is refused with so many pods; each whole run is noted."""

    def refused(count: int) -> bool:
        tried.append(count)
        return refuses(JOBS, replace(SMALL_PODS, pods=count), placing)

    return refused


@pytest.mark.parametrize("placing", [each for each in Placing if each.by_desk])
def test_the_stretch_around_the_fullest_moment_saves_runs_and_changes_no_figure(
    placing: Placing,
) -> None:
    by_cpus, by_stretch = list[int](), list[int]()
    peak = pods_at_peak(fullest(JOBS, SMALL_PODS), SMALL_PODS)
    needed = pods_needed(refused_with(placing, by_cpus), peak, MOST)
    guess = pods_guessed(JOBS, SMALL_PODS, placing, MOST)
    assert pods_needed(refused_with(placing, by_stretch), guess, MOST) == needed
    assert len(by_stretch) < len(by_cpus)


def test_an_auction_needs_a_number_of_pods_of_which_one_less_refuses() -> None:
    guess = pods_guessed(JOBS, SMALL_PODS, Placing.UPSTREAM, MOST)
    refused = refused_with(Placing.UPSTREAM, [])
    needed = pods_needed(refused, guess, MOST)
    assert needed is not None
    assert (refused(needed), refused(needed - 1)) == (False, True)


def test_a_trace_too_short_for_a_stretch_of_it_is_guessed_by_cpus_alone() -> None:
    jobs = tracks(*range(8))
    assert pods_guessed(jobs, Setup(cpu=1.0), Placing.SPREAD, MOST) == 5
    assert pods_guessed([], Setup(), Placing.SPREAD, MOST) == 1


def test_a_guess_is_never_beyond_what_may_be_tried() -> None:
    pages = [TraceJob(60.0 * at, RequestType.WEB, 50.0) for at in range(40)]
    never = replace(Setup(), cpu=1.0)
    assert pods_guessed(pages, never, Placing.PACK, 3) == 3

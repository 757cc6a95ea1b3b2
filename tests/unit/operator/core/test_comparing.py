"""Engines beside each other: what `mediafleet simulate --autoscaling` compares."""

from __future__ import annotations

import pytest

from mediafleet_common.api.scaling.autoscaling import Autoscaling
from mediafleet_operator.core.autoscaling.model import Past
from mediafleet_operator.core.autoscaling.record import EMPTY
from mediafleet_operator.simulate.comparing import WEEK_SECONDS, Case, Load, Way, learnt, through
from mediafleet_operator.simulate.world import Arrival, Terms

RUSH = 1800.0
JOBS = 16


def rush() -> Load:
    """One job, and half an hour later sixteen at once."""
    return [(0.0, Arrival(60.0)), *((RUSH + 20.0, Arrival(1200.0)) for _ in range(JOBS))]


def case(load: Load) -> Case:
    terms = Terms(each=4, start_seconds=45, wait_seconds=20)
    return Case(load, terms, Autoscaling(min=1, max=10))


def test_a_fixed_fleet_refuses_nothing_and_has_all_its_pods_all_the_time() -> None:
    told = case(rush())
    run = through(told, Way.FIXED, Past())
    assert (run.tally.refused, run.tally.most_pods) == (0, 10)
    assert run.tally.pod_seconds == pytest.approx(10 * told.seconds, rel=0.01)


def test_a_forecast_refuses_less_than_the_engine_alone_and_observing_changes_nothing() -> None:
    told = case(rush())
    past = learnt(told)
    builtin, observe, apply = (
        through(told, way, past).tally for way in (Way.BUILTIN, Way.OBSERVE, Way.APPLY)
    )
    assert builtin.refused > 0
    assert observe == builtin
    assert apply.refused < builtin.refused
    assert apply.pod_seconds > builtin.pod_seconds


def test_keda_and_an_hpa_hold_less_than_the_most_pods_and_do_all_or_refuse() -> None:
    told = case(rush())
    for way in (Way.KEDA, Way.HPA):
        tally = through(told, way, Past()).tally
        assert tally.placed + tally.refused == len(told.load)
        assert 1 < tally.most_pods <= 10


def test_a_short_load_has_come_in_each_of_four_weeks_and_a_long_one_teaches_itself() -> None:
    day, fortnight, month = (case([(days * 86_400.0, Arrival(1.0))]) for days in (1, 10, 28))
    assert (day.lessons, day.lesson_seconds) == (4, WEEK_SECONDS)
    assert (fortnight.lessons, fortnight.lesson_seconds) == (2, 2 * WEEK_SECONDS)
    assert (month.lessons, month.learns_within) == (0, True)
    assert learnt(month).record == EMPTY


def test_what_comes_while_nothing_runs_comes_at_its_time() -> None:
    told = case([(0.0, Arrival(30.0)), (4000.0, Arrival(30.0)), (4003.0, Arrival(30.0))])
    jobs: list[int] = []
    run = through(told, Way.BUILTIN, Past(), jobs.append)
    assert sum(jobs) == run.tally.placed == 3
    assert run.moments[-1].at - run.moments[0].at == pytest.approx(told.seconds, abs=70)

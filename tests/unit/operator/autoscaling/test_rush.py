"""A rush that comes each week, on virtual time: with a forecast its pods are there before it."""

from __future__ import annotations

from mediafleet_common.api.scaling.autoscaling import Autoscaling
from mediafleet_operator.core.autoscaling.model import Past
from mediafleet_operator.core.autoscaling.record import EMPTY, QUARTER_SECONDS, WEEK, recorded
from mediafleet_operator.simulate.engines import Builtin
from mediafleet_operator.simulate.runs import Run, run
from mediafleet_operator.simulate.world import Arrival, Terms, World

RUSH = 2_000_000 * QUARTER_SECONDS
JOBS = 40


def through(use: str | None) -> Run:
    """Ten minutes before the rush to ten minutes after it, told of two such weeks."""
    record = EMPTY
    for weeks in (2, 1):
        record = recorded(record, 2_000_000 - weeks * WEEK, 11)
    block = {"min": 1, "max": 30, **({"forecast": {"use": use}} if use else {})}
    engine = Builtin(Autoscaling.model_validate(block), Past(record=record))
    begin = RUSH - 600.0
    world = World(Terms(each=4, start_seconds=45, wait_seconds=20), 1, begin)
    rush = [(RUSH + 20.0, Arrival(1200.0)) for _ in range(JOBS)]
    return run(rush, engine, world, RUSH + 600.0, 5.0, 60.0)


def test_a_rush_finds_its_pods_with_a_forecast_and_is_refused_without() -> None:
    without, watched, ahead = through(None), through("observe"), through("apply")
    assert without.tally.refused == JOBS - 4
    assert watched.tally.refused == without.tally.refused
    assert (ahead.tally.refused, ahead.waited) == (0, 0)


def test_a_fleet_that_refuses_most_of_a_rush_records_what_the_whole_rush_needed() -> None:
    block = {"min": 1, "max": 30, "forecast": {"use": "observe"}}
    engine = Builtin(Autoscaling.model_validate(block))
    world = World(Terms(each=4, start_seconds=45, wait_seconds=20), 1, RUSH - 900.0)
    rush = [(RUSH + 20.0, Arrival(1200.0)) for _ in range(JOBS)]
    told = run(rush, engine, world, RUSH + 1000.0, 5.0, 60.0)
    assert told.tally.refused == JOBS - 4
    assert engine.past.record.at(2_000_000) == JOBS // 4 + 1


def test_the_pods_are_asked_for_the_lead_before_it_and_not_sooner() -> None:
    ahead = through("apply").moments
    assert {each.wanted for each in ahead if each.at < RUSH - 185} == {1}
    assert {each.had for each in ahead if RUSH - 120 < each.at < RUSH} == {11}
    watched = through("observe").moments
    assert {each.wanted for each in watched if each.at < RUSH} == {1}
    assert [each.forecast for each in watched] == [each.forecast for each in ahead]

"""The scenario files of the bench: the built-in engine answers them without a refusal or a flap."""

from __future__ import annotations

import pytest
from bench.autoscaling.__main__ import Result, flaps, run
from bench.autoscaling.scenario import Named, all_of_them

from mediafleet_operator.simulate.engines import Builtin, ByHpa

SCENARIOS = {named.name: named for named in all_of_them()}


def through(named: Named) -> Result:
    return run(named.scenario, Builtin(named.scenario.autoscaling))


@pytest.mark.parametrize("named", SCENARIOS.values(), ids=SCENARIOS)
def test_the_builtin_engine_refuses_nobody_and_cuts_nobody_off(named: Named) -> None:
    result = through(named)
    assert result.tally.refused == 0
    assert result.tally.cut_off == 0
    assert result.tally.placed > 0


def test_it_has_room_sooner_than_an_hpa_and_refuses_fewer() -> None:
    scenario = SCENARIOS["evening"].scenario
    ours = through(SCENARIOS["evening"])
    theirs = run(scenario, ByHpa(scenario.autoscaling))
    assert max(ours.short) < max(theirs.short)
    assert ours.tally.refused < theirs.tally.refused
    assert ours.tally.pod_seconds < 1.1 * theirs.tally.pod_seconds


def test_a_flap_is_a_turn_soon_after_the_change_before() -> None:
    assert flaps([1, 2, 1, 2]) == 2
    assert flaps([1, 2, 3, 3]) == 0
    assert flaps([1, 2] + [2] * 400 + [1]) == 0

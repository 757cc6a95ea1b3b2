"""Whose load is asked anew before a choice is made by it."""

from __future__ import annotations

from tests.kit.operator.fleet_builders import fleet, observe, pending, pod, readings

from mediafleet_operator.core.drain.loads_wanted import RECENT_SECONDS, loads_wanted
from mediafleet_operator.core.fleet.model import Observation
from mediafleet_operator.core.plan import plan

OLD = RECENT_SECONDS + 1


def asked(observation: Observation) -> set[str]:
    planned = plan(observation)
    return set(loads_wanted(observation, planned.roster, planned.actions))


def test_a_scale_down_asks_those_whose_load_was_read_a_while_ago() -> None:
    loads = {0: readings(0, ago=OLD), 1: readings(0), 2: readings(1, ago=OLD)}
    assert asked(observe(fleet(2), [pod(0), pod(1), pod(2)], loads=loads)) == {"uid-0", "uid-2"}


def test_a_scale_down_asks_those_that_were_never_heard_of() -> None:
    assert asked(observe(fleet(1), [pod(0), pod(1)], {0: 0})) == {"uid-1"}


def test_an_answer_that_says_nothing_is_an_answer() -> None:
    assert asked(observe(fleet(1), [pod(0), pod(1)], {0: None, 1: None})) == set()


def test_without_a_choice_nobody_is_asked() -> None:
    old = {0: readings(0, ago=OLD), 1: readings(0, ago=OLD)}
    pods = [pod(0), pod(1)]
    assert asked(observe(fleet(2), pods, loads=old)) == set(), "nobody leaves"
    assert asked(observe(fleet(0), pods, loads=old)) == set(), "all leave"
    assert asked(observe(fleet(2), [*pods, pending(2)], loads=old)) == set(), "never was Ready"

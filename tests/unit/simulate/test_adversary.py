"""No rule that does not know what comes packs within 1.22 times the bound and one pod."""

from __future__ import annotations

import random

import pytest
from tests.kit.simulate.adversary import (
    PAGES,
    SETUP,
    STAY,
    TRACKS,
    DeskRule,
    OpenRule,
    Rule,
    best_fit,
    first_fit,
    forced,
    worst_fit,
)
from tests.kit.simulate.foresight import fewest_pods

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.simulate.setup import Placing

PODS = 75


class Hoarder:
    """Opens a pod for one track now and then, so that it could be taken back whole."""

    def __init__(self) -> None:
        self._fit = OpenRule(first_fit)
        self._alone: dict[int, int] = {}

    def place(self, number: int, kind: RequestType) -> int:
        """Every hundredth track is alone."""
        if kind is RequestType.TRACK and number % 100 == 0:
            self._alone[number] = 10_000 + number
            return self._alone[number]
        return self._fit.place(number, kind)

    def end(self, number: int) -> None:
        """It is over."""
        if number not in self._alone:
            self._fit.end(number)


CHANCE = random.Random(7)
RULES: dict[str, Rule] = {
    "pack": DeskRule(Placing.PACK, PODS),
    "type_aware": DeskRule(Placing.TYPE_AWARE, PODS),
    "spread": DeskRule(Placing.SPREAD, PODS),
    "first fit": OpenRule(first_fit),
    "best fit": OpenRule(best_fit),
    "worst fit": OpenRule(worst_fit),
    "any fit, by chance": OpenRule(lambda taken, room: CHANCE.choice(room)),
    "some alone": Hoarder(),
}


def test_the_numbers_of_the_argument_are_those_of_our_default_costs() -> None:
    assert (TRACKS, PAGES, STAY) == (25, 3, 2)
    gain = 1 - (PAGES - 1) / PAGES - STAY / TRACKS
    assert gain == pytest.approx(0.2533, abs=1e-4)
    assert PODS * (1 + gain) > 1.22 * PODS + 1


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_any_rule_is_forced_to_more_pods_than_pack_is_measured_by(rule: Rule) -> None:
    told = forced(rule, PODS)
    bound = max(fewest_pods(costs, SETUP) for costs in told.moments)
    assert bound <= told.enough == PODS, "who knows what comes needs no more"
    assert told.used > 1.22 * bound + 1

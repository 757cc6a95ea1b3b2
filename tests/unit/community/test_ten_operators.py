"""Ten operators of whom four share, one of them a liar: what is shown is the truth of those who
share, the rest is unknown, and the liar is marked by what he is paid."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from tests.kit.community import MIDNIGHT

from mediafleet_scheduler.core.community.cells import country
from mediafleet_scheduler.core.community.checks.convergence import Comparison, Verdict
from mediafleet_scheduler.core.community.checks.estimate import Sharer, estimate
from mediafleet_scheduler.core.community.checks.payouts import payouts
from mediafleet_scheduler.core.community.checks.tickets import Ticket, judge
from mediafleet_scheduler.core.community.collecting import Summary, read_summary, together
from mediafleet_scheduler.core.community.counting import Counting
from mediafleet_scheduler.core.community.mapping import world_view
from mediafleet_scheduler.core.community.publishing import HourRecord
from mediafleet_scheduler.core.community.rendering import Shared, as_json
from mediafleet_scheduler.core.community.windows import Use

HOURS = 48
"""A day whose groups are the world, and one by countries."""
GATEWAYS = 12
PIXELS = 1e10
"""Of one stream in one hour."""
WEI_PER_PIXEL = 100
FACE_VALUE = 10**13
"""So that some ten tickets win in an hour of a hundred streams."""
COUNTRIES = [country("de"), country("fr")]


@dataclass
class Operator:
    """One of the ten."""

    name: str
    region: str
    chance: random.Random
    lies: int = 1
    """By what his claims are too large."""
    truth: list[list[int]] = field(default_factory=list)
    """Streams of each gateway, hour by hour."""

    def live(self) -> None:
        base = [self.chance.randint(2, 9) for _ in range(GATEWAYS)]
        self.truth = [
            [max(1, each + self.chance.randint(-1, 1)) for each in base] for _ in range(HOURS)
        ]

    def summary(self) -> Summary:
        """What he shares, by way of all rules and of the wire."""
        counting, records = Counting(MIDNIGHT, 3), list[HourRecord]()
        for hour, streams in enumerate(self.truth):
            uses = [
                Use(f"{number:032x}", COUNTRIES[number % 2], each * self.lies, asks=True)
                for number, each in enumerate(streams)
            ]
            own = sum(streams) * self.lies
            for minute in range(0, 60, 5):
                record = counting.look(MIDNIGHT + hour * 3600 + minute * 60, uses, own, 300)
                records += [record] if record else []
        last = counting.look(MIDNIGHT + HOURS * 3600, [], None, 0)
        records += [last] if last else []
        shared = Shared(self.region, counting.own_now, records[-24:])
        return read_summary(json.dumps(as_json(shared)).encode())

    @property
    def streams(self) -> float:
        """The truth: the average of the last day."""
        return sum(map(sum, self.truth[-24:])) / 24

    def tickets(self) -> list[Ticket]:
        """Those that won for what he truly did in the last day."""
        worth = self.streams * 24 * PIXELS * WEI_PER_PIXEL
        tries = round(worth / FACE_VALUE * 100)
        number = sum(self.chance.random() < 0.01 for _ in range(tries))
        return [Ticket(self.name, FACE_VALUE)] * number

    def claim(self) -> Comparison:
        """His pixels beside his tickets."""
        pixels = (self.summary().day.average or 0) * 24 * PIXELS
        return judge(pixels, WEI_PER_PIXEL, self.tickets())


def ten(seed: int) -> list[Operator]:
    """Of two regions; the fourth lies."""
    found = []
    for number in range(10):
        region = "eu-west" if number % 2 else "us-east"
        each = Operator(f"operator-{number}", region, random.Random(f"{seed}-{number}"))
        each.lies = 2 if number == 3 else 1
        each.live()
        found.append(each)
    return found


def truth(operators: Sequence[Operator], region: str) -> float:
    return sum(each.streams for each in operators if each.region == region)


@pytest.mark.parametrize("seed", [1, 3, 4])
def test_tables_are_the_truth_of_who_shares_the_rest_is_unknown_and_the_liar_is_marked(
    seed: int,
) -> None:
    operators = ten(seed)
    sharing, silent = operators[:4], operators[4:]
    marked = {each.name for each in sharing if each.claim().verdict is Verdict.OUTSIDE}
    assert marked == {"operator-3"}

    honest = [each for each in sharing if each.name not in marked]
    summaries = {each.name: each.summary() for each in honest}
    view = together(summaries, {each.name for each in silent} | marked)
    assert view.shared == 3
    assert view.unknown == sorted({each.name for each in silent} | marked)
    for row in view.regions:
        # Each hour of each operator is rounded to the next 5.
        slack = 2.5 * row.operators
        assert row.average == pytest.approx(truth(honest, row.region), abs=slack)
    shown = {each.origin: each.streams for each in view.origins}
    for number, name in enumerate(("country DE", "country FR")):
        streams = [sum(each.truth[-1][number::2]) for each in honest]
        assert shown[name] == pytest.approx(sum(streams), abs=2.5 * len(honest))


def test_a_lie_is_always_marked_and_an_honest_claim_once_in_a_hundred_times() -> None:
    claims = [(each.lies, each.claim().verdict) for seed in range(8) for each in ten(seed)[:4]]
    marked = [lies for lies, verdict in claims if verdict is Verdict.OUTSIDE]
    assert marked.count(2) == 8
    assert marked.count(1) <= 2


@pytest.mark.parametrize("seed", [1, 3, 4])
def test_a_collector_marks_the_liar_and_estimates_the_silent_beside_the_truth_of_the_honest(
    seed: int,
) -> None:
    operators = ten(seed)
    told = {each.name: each.summary() for each in operators[:4]}
    tickets = [ticket for each in operators for ticket in each.tickets()]
    names = {each.name: each.name for each in operators}
    found = payouts(told, names, tickets, PIXELS * WEI_PER_PIXEL)
    assert found.marked == {"operator-3"}
    assert found.estimates.keys() == {each.name for each in operators[3:]}
    honest = [told[each.name] for each in operators[:3]]
    view = world_view(honest, 7, MIDNIGHT + HOURS * 3600.0, found.beside)
    assert (view["shared"], view["unknown"], view["marked"]) == (3, 7, 1)
    for row in view["regions"]:
        wanted = truth(operators[:3], row["region"])
        assert row["average"] == pytest.approx(wanted, abs=2.5 * row["operators"])
    silent = sum(each.streams for each in operators[3:])
    assert view["estimated"]["streams"] == pytest.approx(silent, rel=0.25)


def test_who_is_silent_is_estimated_beside_the_table_and_not_in_it() -> None:
    operators = ten(4)
    honest = [each for each in operators[:4] if each.lies == 1]
    sharers = [
        Sharer(each.summary().day.average or 0, sum(t.face_value for t in each.tickets()))
        for each in honest
    ]
    guesses = {
        each.name: estimate(sum(t.face_value for t in each.tickets()), sharers)
        for each in operators[4:]
    }
    for each in operators[4:]:
        guess = guesses[each.name]
        assert guess is not None
        assert guess.streams == pytest.approx(each.streams, rel=0.35)
    view = together({each.name: each.summary() for each in honest}, guesses)
    assert sum(row.average or 0 for row in view.regions) == pytest.approx(
        sum(each.streams for each in honest), abs=2.5 * len(honest)
    )

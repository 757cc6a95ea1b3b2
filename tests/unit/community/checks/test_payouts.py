"""Winning tickets of a day: who is marked, who is estimated, and that neither is in a sum."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mediafleet_scheduler.core.community.checks.convergence import Verdict
from mediafleet_scheduler.core.community.checks.payouts import NOTHING_PAID, Payouts, payouts
from mediafleet_scheduler.core.community.checks.tickets import Ticket
from mediafleet_scheduler.core.community.collecting import Summary, read_summary

PRICE = 1000.0
"""Wei a stream's hour; a ticket is worth ten of them."""
FACE = 10_000


def shares(average: float | None, hours: int = 24) -> Summary:
    day: dict[str, Any] = {"hours": hours}
    if average is not None:
        day["average"] = average
    return read_summary(json.dumps({"version": 1, "region": "eu", "day": day}).encode())


def address(name: str) -> str:
    return f"0x{name.encode().hex():0>40}"


def said(
    summaries: dict[str, Summary], paid: dict[str, int], price: float | None = PRICE
) -> Payouts:
    """What so many tickets of each say."""
    tickets = [Ticket(address(name), FACE) for name, number in paid.items() for _ in range(number)]
    names = {*summaries, *paid}
    return payouts(summaries, {each: address(each) for each in names}, tickets, price)


HONEST = {"a": shares(40.0), "b": shares(20.0), "c": shares(60.0)}
PAID = {"a": 96, "b": 48, "c": 144}


def test_who_shares_what_tickets_pay_is_not_marked() -> None:
    found = said(HONEST, PAID)
    assert {each.verdict for each in found.claims.values()} == {Verdict.WITHIN}
    assert found.marked == frozenset()
    assert (found.estimates, found.silent) == ({}, None)


@pytest.mark.parametrize("share", [80.0, 10.0])
def test_who_shares_twice_or_a_quarter_of_it_is_marked_and_estimated_as_one_who_does_not(
    share: float,
) -> None:
    found = said({**HONEST, "liar": shares(share)}, {**PAID, "liar": 96})
    assert found.marked == {"liar"}
    assert found.estimates["liar"].streams == pytest.approx(40)
    assert found.estimates["liar"].sharers == 3
    assert found.as_json("liar")["tickets"]["marked"] is True
    assert found.as_json("a")["tickets"]["marked"] is False
    assert "estimated" not in found.as_json("a")


def test_of_fewer_than_thirty_tickets_nobody_is_marked() -> None:
    found = said({**HONEST, "small": shares(50.0)}, {**PAID, "small": 29})
    assert found.claims["small"].verdict is Verdict.NOT_ENOUGH
    assert found.marked == frozenset()
    assert found.claims["small"].text in found.lines()[-1]


def test_rounding_marks_nobody() -> None:
    # 2.4 streams are published as 0.
    prices = said({"a": shares(0.0)}, {"a": 100}, FACE * 100 / (2.4 * 24))
    assert prices.claims["a"].verdict is Verdict.WITHIN
    assert prices.claims["a"].ratio == pytest.approx(1)


def test_hours_that_are_not_told_excuse_too_little_and_not_too_much() -> None:
    little = said({"a": shares(40.0, hours=12)}, {"a": 96})
    assert little.claims["a"].verdict is Verdict.NOT_MEASURABLE
    much = said({"a": shares(160.0, hours=23)}, {"a": 96})
    assert much.marked == {"a"}


@pytest.mark.parametrize(
    ("summary", "paid", "price"),
    [(shares(40.0), 96, None), (shares(None), 96, PRICE), (shares(40.0), 0, PRICE)],
)
def test_without_a_price_a_figure_or_a_ticket_nothing_is_judged(
    summary: Summary, paid: int, price: float | None
) -> None:
    found = said({"a": summary}, {"a": paid}, price)
    assert found.claims["a"].verdict is Verdict.NOT_MEASURABLE
    assert found.as_json("a")["tickets"]["ratio"] is None
    assert found.as_json("a")["tickets"]["expected"][1] is None or paid


def test_who_is_silent_is_estimated_each_and_together_with_a_range() -> None:
    uneven = {**HONEST, "b": shares(22.0)}
    found = said(uneven, {**PAID, "x": 24, "y": 48, "unpaid": 0})
    assert found.claims.keys() == uneven.keys()
    assert found.estimates.keys() == {"x", "y"}
    assert found.silent is not None
    assert found.silent.low < found.silent.streams < found.silent.high
    assert found.silent.streams == pytest.approx(
        found.estimates["x"].streams + found.estimates["y"].streams
    )
    lines = found.lines()
    assert all("estimated" in line for line in lines[3:])
    assert lines[-1].endswith("in no figure above")
    assert found.as_json("x") == {
        "estimated": {
            "streams": found.estimates["x"].streams,
            "low": found.estimates["x"].low,
            "high": found.estimates["x"].high,
            "sharers": 3,
        }
    }


def test_two_sharers_are_too_few_to_estimate_by() -> None:
    found = said({"a": HONEST["a"], "b": HONEST["b"]}, {"a": 96, "b": 48, "x": 24})
    assert (found.estimates, found.silent) == ({}, None)


def test_the_targets_of_one_address_are_one_operator() -> None:
    addresses = {"one": address("a"), "two": address("a"), "other": address("b")}
    summaries = {"one": shares(30.0), "two": shares(10.0)}
    tickets = [Ticket(address("a"), FACE)] * 96
    found = payouts(summaries, addresses, tickets, PRICE)
    assert found.claims["one"] == found.claims["two"]
    assert found.claims["one"].verdict is Verdict.WITHIN
    # One of whose targets nothing is known is not silent.
    assert payouts({"one": shares(40.0)}, addresses, tickets, PRICE).estimates == {}
    half = {"one": shares(30.0), "two": shares(None)}
    assert payouts(half, addresses, tickets, PRICE).claims["one"].reported is None


def test_who_is_not_on_the_list_is_neither_judged_nor_estimated() -> None:
    found = payouts({"a": shares(40.0)}, {}, [Ticket(address("a"), FACE)] * 96, PRICE)
    assert (found.claims, found.silent, found.as_json("a")) == ({}, None, {})
    assert NOTHING_PAID.lines() == []


def test_what_is_said_of_one_operator_has_both_figures_and_what_was_expected() -> None:
    found = said({**HONEST, "liar": shares(80.0)}, {**PAID, "liar": 96, "x": 24})
    claim = found.claims["liar"]
    assert found.as_json("liar")["tickets"] == {
        "verdict": "outside",
        "marked": True,
        # 80 streams less what rounding may hide, for a day.
        "claimed": 77.5 * PRICE * 24,
        "paid": 96.0 * FACE,
        "ratio": pytest.approx(77.5 / 40),
        "expected": [claim.band.low, claim.band.high],
    }
    assert found.each == {name: found.as_json(name) for name in ("a", "b", "c", "liar", "x")}
    marked, guess, silent, together = (found.lines()[at] for at in (3, 4, 5, 6))
    assert marked == f"MARKED liar: {claim.text}"
    assert not any(each.startswith("MARKED") for each in found.lines()[:3])
    assert guess == "liar: estimated 40 streams (40 to 40, 10-90 % of 3 who share)"
    assert silent == "x: estimated 10 streams (10 to 10, 10-90 % of 3 who share)"
    assert together.startswith("all who do not share: estimated 50 streams (50 to 50, ")


def test_what_a_liar_is_paid_is_estimated_with_the_silent_and_its_claim_gives_no_measure() -> None:
    found = said({**HONEST, "liar": shares(4000.0)}, {**PAID, "liar": 96, "x": 24})
    assert found.silent is not None
    assert found.silent.streams == pytest.approx(50)
    assert found.silent.sharers == 3
    assert found.beside == {
        "marked": 1,
        "estimated": {"streams": 50.0, "low": 50.0, "high": 50.0, "sharers": 3},
    }
    assert said(HONEST, PAID).beside == {"marked": 0, "estimated": None}


def test_two_targets_of_one_operator_are_held_to_the_shorter_day_and_rounded_twice() -> None:
    addresses = {"one": address("a"), "two": address("a")}
    tickets = [Ticket(address("a"), FACE)] * 96

    def claim(one: Summary, two: Summary) -> Any:
        return payouts({"one": one, "two": two}, addresses, tickets, PRICE).claims["one"]

    rounded = claim(shares(25.0), shares(20.0))
    assert rounded.reported == pytest.approx(40 * PRICE * 24)
    assert claim(shares(25.0), shares(20.5)).reported == pytest.approx(40.5 * PRICE * 24)
    assert claim(shares(20.0), shares(14.0)).reported == pytest.approx(39 * PRICE * 24)
    shorter = claim(shares(30.0), shares(10.0, hours=6))
    assert shorter.reported == pytest.approx(45 * PRICE * 6)
    assert shorter.verdict is Verdict.NOT_MEASURABLE


def test_no_claim_is_below_nothing_and_a_whole_day_is_no_excuse() -> None:
    assert said({"a": shares(1.0)}, {"a": 1}).claims["a"].reported == pytest.approx(FACE)
    nothing = said({"a": shares(0.0)}, {"a": 96}).claims["a"]
    assert (nothing.verdict, nothing.reported) == (Verdict.OUTSIDE, 2.5 * PRICE * 24)
    assert said({"a": shares(40.0, hours=0)}, {"a": 96}).claims["a"].reported == 0.0

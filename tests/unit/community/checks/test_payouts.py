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

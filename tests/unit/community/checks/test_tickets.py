"""Claims of pixels beside tickets that won."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from mediafleet_common.formats import eth
from mediafleet_scheduler.core.community.checks.convergence import Verdict
from mediafleet_scheduler.core.community.checks.tickets import (
    LEAST_TICKETS,
    SIGNATURE,
    TOPIC,
    NotTicketsError,
    Ticket,
    expected,
    judge,
    tickets_of,
)

ORCHESTRATOR = "0x" + "aB" * 20
GATEWAY = "0x" + "12" * 20


def log(value: int = 7, recipient: str = ORCHESTRATOR, **more: Any) -> dict[str, Any]:
    """One log, as a node answers it."""
    words = [value, 1, 2, 3, 160, 0]
    topics = [TOPIC, *(f"0x{'0' * 24}{each[2:]}" for each in (GATEWAY, recipient))]
    return {"topics": topics, "data": "0x" + "".join(f"{each:064x}" for each in words), **more}


def won(number: int, value: int = 10) -> list[Ticket]:
    return [Ticket(ORCHESTRATOR.lower(), value)] * number


def test_the_event_is_that_of_the_contract() -> None:
    assert f"0x{eth.keccak256(SIGNATURE.encode()).hex()}" == TOPIC


def test_a_ticket_is_read_with_its_recipient_and_its_value() -> None:
    assert tickets_of([log(2**255 + 1)]) == [Ticket(ORCHESTRATOR.lower(), 2**255 + 1)]
    assert tickets_of([]) == []


@pytest.mark.parametrize(
    "other",
    [
        log(topics=[TOPIC]),
        log(topics=["0x00", *log()["topics"][1:]]),
        log(topics=[TOPIC, "0x" + "0" * 64, "0x" + "0" * 62]),
        log(topics=[TOPIC, "0x" + "0" * 64, "0x" + "1" * 64]),
        log(topics=[TOPIC, "0x" + "0" * 64, 5]),
        log(data="0x" + "0" * 255),
        log(data="0x" + "g" * 256),
        log(data=None),
        {},
        "log",
    ],
)
def test_what_is_no_such_event_is_refused_with_its_place(other: object) -> None:
    with pytest.raises(NotTicketsError, match=r"^log 1 "):
        tickets_of([log(), other])


def test_what_is_no_list_is_refused() -> None:
    with pytest.raises(NotTicketsError, match="no list"):
        tickets_of({"result": []})


def test_a_claim_that_is_paid_is_within_and_one_of_twice_as_much_is_not() -> None:
    assert judge(1000, 1, won(100)).verdict is Verdict.WITHIN
    lie = judge(2000, 1, won(100))
    assert (lie.verdict, lie.ratio) == (Verdict.OUTSIDE, 2)
    assert judge(500, 1, won(100)).verdict is Verdict.OUTSIDE
    assert judge(1, 1000, won(100)).verdict is Verdict.WITHIN


def test_fewer_than_thirty_tickets_say_nothing() -> None:
    assert LEAST_TICKETS == 30
    few = judge(29_000, 1, won(29))
    assert (few.verdict, few.ratio) == (Verdict.NOT_ENOUGH, 100)
    assert judge(30_000, 1, won(30)).verdict is Verdict.OUTSIDE


@pytest.mark.parametrize(
    ("pixels", "price", "tickets"),
    [(None, 1, 50), (100, None, 50), (100, 1, 0), (math.inf, 1, 50), (-1, 1, 50)],
)
def test_a_side_that_is_missing_makes_a_claim_not_measurable(
    pixels: float | None, price: float | None, tickets: int
) -> None:
    assert judge(pixels, price, won(tickets)).verdict is Verdict.NOT_MEASURABLE


def at_most(number: int, mean: float) -> float:
    """Poisson's law."""
    return math.fsum(
        math.exp(each * math.log(mean) - mean - math.lgamma(each + 1)) for each in range(number + 1)
    )


@pytest.mark.parametrize("tickets", [30, 100, 1000])
def test_the_band_is_that_of_99_in_100(tickets: int) -> None:
    band = expected(tickets)
    assert 1 - at_most(tickets - 1, band.low * tickets) == pytest.approx(0.005, rel=0.05)
    assert at_most(tickets, band.high * tickets) == pytest.approx(0.005, rel=0.05)


def test_the_band_narrows_with_the_number() -> None:
    assert 0 < expected(1).low < expected(30).low < expected(300).low < 1
    assert expected(300).high < expected(30).high < expected(1).high


def test_of_a_thousand_honest_claims_about_ten_are_marked() -> None:
    chance = random.Random(7)
    marked = 0
    for _ in range(1000):
        number = sum(chance.random() < 0.01 for _ in range(5000))
        marked += judge(500, 1, won(number)).verdict is Verdict.OUTSIDE if number >= 30 else 0
    assert 1 <= marked <= 25

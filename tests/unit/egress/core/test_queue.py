"""Who waits for room, and who is next."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Queue
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.queue import Waiting, line, of_fleet, queue_rule

NOW = 1_000_000.0


def waiting(name: str, room: str = "", since: float = 0.0, **more: float) -> Waiting:
    return Waiting(name, "/rec", RequestType.WEB, 4.0, room, NOW + since, **more)


def names(*entries: Waiting, turns: dict[str, float] | None = None, now: float = NOW) -> str:
    return " ".join(each.egress_id for each in line(entries, turns or {}, now))


CASES = {
    "nobody": ([], {}, ""),
    "within a room the first come is first": (
        [waiting("a2", "a", 2), waiting("a1", "a", 1)],
        {},
        "a1 a2",
    ),
    "rooms take turns": (
        [waiting("a1", "a", 1), waiting("a2", "a", 2), waiting("a3", "a", 3), waiting("b1", "b")],
        {},
        "b1 a1 a2 a3",
    ),
    "the room whose turn was longest ago is next": (
        [waiting("a1", "a", 1), waiting("b1", "b", 2), waiting("c1", "c", 3)],
        {"a": 20.0, "b": 10.0},
        "c1 b1 a1",
    ),
    "what has no room takes turns by itself": (
        [
            waiting("a1", "a", 0),
            waiting("a2", "a", 1),
            waiting("x", since=2),
            waiting("y", since=3),
        ],
        {},
        "a1 x y a2",
    ),
    "a tie goes by name": ([waiting("y"), waiting("x")], {}, "x y"),
}


@pytest.mark.parametrize(("entries", "turns", "wanted"), CASES.values(), ids=CASES.keys())
def test_the_line(entries: list[Waiting], turns: dict[str, float], wanted: str) -> None:
    assert names(*entries, turns=turns) == wanted
    assert names(*entries[::-1], turns=turns) == wanted


def test_a_refused_request_keeps_its_place_for_its_time_and_not_longer() -> None:
    kept = waiting("x", keep_until=NOW + 6)
    assert kept.counts(NOW + 5.9)
    assert not kept.counts(NOW + 6)
    assert names(kept, waiting("y", since=1), now=NOW + 7) == "y"


def test_an_entry_that_nobody_looks_after_is_out_in_time() -> None:
    assert not waiting("x", until=NOW + 5).counts(NOW + 5)
    assert not waiting("x").counts(NOW + 60)


@pytest.mark.parametrize(
    ("queue", "autoscales", "seconds"),
    [
        (Queue(), True, 5.0),
        (Queue(), False, 0.0),
        (Queue(max_wait="1500ms"), False, 1.5),
        (Queue(max_wait="0s"), True, 0.0),
    ],
)
def test_who_waits_how_long_by_default(queue: Queue, autoscales: bool, seconds: float) -> None:
    assert queue_rule(queue, autoscales).max_wait_seconds == seconds


def test_a_fleets_part_is_its_own() -> None:
    other = Waiting("y", "/other", RequestType.WEB, 4.0, "", NOW)
    assert of_fleet([waiting("x"), other], "/rec", NOW) == (waiting("x"),)


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(1, 60),
    st.lists(st.integers(0, 59), max_size=60),
)
def test_two_rooms_that_both_have_some_waiting_get_one_each_by_turns(
    first: int, second: int, places: int, late: list[int]
) -> None:
    ledger = Ledger()
    for n in range(first):
        ledger.wait(waiting(f"a{n}", "a", n / 100))
    for n in range(second):
        ledger.wait(waiting(f"b{n}", "b", 1 + n / 100))
    given_to: Counter[str] = Counter()
    for place in range(places):
        ahead = line(ledger.waiting.values(), ledger.turns, NOW + 2)
        if len({each.room for each in ahead}) < 2:
            break
        ledger.took_turn(ahead[0].flow, NOW + 2 + place)
        ledger.leave(ahead[0].egress_id)
        given_to[ahead[0].room] += 1
        if place in late:
            ledger.wait(waiting(f"a-late-{place}", "a", 1.5))
        assert abs(given_to["a"] - given_to["b"]) <= 1


def test_turns_are_forgotten_when_nobody_waits() -> None:
    ledger = Ledger()
    ledger.took_turn("a", NOW)
    assert not ledger.turns
    ledger.wait(waiting("x"))
    ledger.took_turn("a", NOW)
    assert ledger.turns == {"a": NOW}
    ledger.leave("x")
    assert not ledger.turns

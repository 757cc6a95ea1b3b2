"""What is due when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mediafleet_scheduler.core.workers.choice.moments import Moments


def test_the_soonest_is_due_first_and_of_two_the_one_that_was_added_first() -> None:
    some: Moments[str] = Moments(lambda _, item: True)
    for moment, item in ((2, "c"), (1, "b"), (2, "a"), (3, "d")):
        some.add(moment, item)
    assert some.first() == 1
    assert some.due(0.9) == []
    assert some.due(2) == ["b", "c", "a"]
    assert some.first() == 3
    assert some.due(9) == ["d"]
    assert (some.first(), some.due(9)) == (None, [])


def test_what_does_not_count_any_more_is_not_due() -> None:
    over: set[str] = set()
    some: Moments[str] = Moments(lambda moment, item: item not in over and moment > 0)
    for moment, item in ((0, "never"), (1, "a"), (2, "b")):
        some.add(moment, item)
    over.add("a")
    assert some.first() == 2
    over.add("b")
    assert some.due(9) == []
    assert len(some) == 0


def test_items_need_no_order_among_themselves() -> None:
    some: Moments[object] = Moments(lambda _, item: True)
    some.add(1, object())
    some.add(1, object())
    assert len(some.due(1)) == 2


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=300))
def test_what_counts_is_never_lost_and_the_rest_is_never_most_of_many(
    added: list[tuple[int, bool]],
) -> None:
    live: dict[int, int] = {}
    some: Moments[int] = Moments(lambda _, item: item in live)
    for number, (moment, stays) in enumerate(added):
        live[number] = moment
        some.add(moment, number)
        if not stays:
            del live[number]
        assert len(some) <= max(64, 2 * len(live) + 2)
    expected = sorted(live, key=lambda item: (live[item], item))
    assert some.due(50) == expected

"""Windows that close once, on time, and never fill what was not seen."""

from __future__ import annotations

from mediafleet_scheduler.core.community.cells import WORLD, country
from mediafleet_scheduler.core.community.counting import Counting
from mediafleet_scheduler.core.community.groups import Groups
from mediafleet_scheduler.core.community.publishing import OwnFigures
from mediafleet_scheduler.core.community.windows import Use

K = 3
MIDNIGHT = 1_795_910_400 // 86_400 * 86_400.0
FROM_DE = [Use(name, country("de"), asks=True) for name in "abc"]


def test_an_hour_is_told_once_and_when_it_is_over() -> None:
    counting = Counting(MIDNIGHT, K)
    told = [
        counting.look(MIDNIGHT + second, FROM_DE, 12, 15.0) for second in range(0, 2 * 3600 + 1, 15)
    ]
    records = [each for each in told if each is not None]
    assert [each.start for each in records] == [MIDNIGHT, MIDNIGHT + 3600]
    assert told.index(records[0]) == 3600 // 15
    assert {each.own for each in records} == {OwnFigures(average=10, maximum=10)}
    assert [each.groups[WORLD].asking for each in records] == [(3, 5), (3, 5)]


def test_what_was_not_seen_is_not_filled() -> None:
    counting = Counting(MIDNIGHT, K)
    counting.look(MIDNIGHT, [], 20, 0.0)
    counting.look(MIDNIGHT + 15, [], 20, 15.0)
    counting.look(MIDNIGHT + 1800, [], None, 0.0)
    record = counting.look(MIDNIGHT + 3600, [], 0, 15.0)
    assert record is not None
    assert record.own == OwnFigures(average=20, maximum=20)


def test_an_hour_in_which_the_load_was_unknown_has_no_figure() -> None:
    counting = Counting(MIDNIGHT, K)
    counting.look(MIDNIGHT + 15, [], None, 15.0)
    record = counting.look(MIDNIGHT + 3600, [], None, 15.0)
    assert record is not None
    assert record.own is None


def test_the_last_five_minutes_are_told_when_they_are_over_and_not_after_a_gap() -> None:
    counting = Counting(MIDNIGHT, K)
    counting.look(MIDNIGHT + 100, [], 30, 100.0)
    told = [counting.own_now]
    for second, held in ((310, 10.0), (1000, 0.0)):
        counting.look(MIDNIGHT + second, [], 5, held)
        told.append(counting.own_now)
    assert told == [None, OwnFigures(30, 30), None]


def test_a_day_is_told_by_the_groups_of_the_day_before() -> None:
    counting = Counting(MIDNIGHT, K)
    germany = country("de")
    counting.look(MIDNIGHT + 15, FROM_DE, None, 15.0)
    assert not counting.is_new_day(MIDNIGHT + 86_399)
    assert counting.is_new_day(MIDNIGHT + 86_400)
    last = counting.look(MIDNIGHT + 86_400, [], None, 15.0)
    assert last is not None
    assert last.groups.keys() == {WORLD}
    counting.look(MIDNIGHT + 86_415, FROM_DE, None, 15.0)
    first = counting.look(MIDNIGHT + 90_000, [], None, 15.0)
    assert first is not None
    assert first.groups.keys() == {germany}


def test_a_day_forgets_the_sources_of_the_days_before_it() -> None:
    counting = Counting(MIDNIGHT, K)
    germany = country("de")
    for day, names in enumerate(("abc", "de", "f")):
        uses = [Use(name, germany) for name in names]
        counting.look(MIDNIGHT + 86_400 * day + 15, uses, None, 15.0)
    assert counting.groups.of(germany) == WORLD


def test_streams_of_each_five_minutes_are_told_in_their_place() -> None:
    counting = Counting(MIDNIGHT, K)
    for second in range(0, 3600, 15):
        # Twelve streams from 00:10 to 00:15, three before and after.
        streams = 4 if 600 < second <= 900 else 1
        uses = [Use(name, country("de"), streams) for name in "abc"]
        counting.look(MIDNIGHT + second, uses, None, 15.0)
    record = counting.look(MIDNIGHT + 3600, [], None, 15.0)
    assert record is not None
    assert record.five_minutes == (5, 5, 10, *(5,) * 9)
    assert record.groups[WORLD].maximum == 10


def test_own_streams_are_told_without_those_of_groups_that_are_null() -> None:
    germany, brazil = country("de"), country("br")
    counting = Counting(MIDNIGHT, K, Groups(frozenset({WORLD, germany})))
    known = [*(Use(name, germany, 10) for name in "abc"), Use("d", brazil, 40)]
    counting.look(MIDNIGHT + 600, known, 75, 600.0)
    counting.look(MIDNIGHT + 1200, known[:3], 60, 600.0)
    record = counting.look(MIDNIGHT + 3600, [], None, 15.0)
    assert record is not None
    # 35 and 60: of unknown origin are 5 and 30.
    assert record.own == OwnFigures(average=50, maximum=60)


def test_own_streams_that_are_fewer_than_those_of_null_groups_are_none() -> None:
    counting = Counting(MIDNIGHT, K)
    counting.look(MIDNIGHT + 600, [Use("a", country("br"), 40)], 10, 600.0)
    record = counting.look(MIDNIGHT + 3600, [], None, 15.0)
    assert record is not None
    assert record.own == OwnFigures(average=0, maximum=0)

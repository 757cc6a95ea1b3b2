"""Cells of work: fixed for a day by the day before, `all` for the rest, and for the first day."""

from __future__ import annotations

from mediafleet_scheduler.core.community.cells import WORLD
from mediafleet_scheduler.core.community.counting import Counting
from mediafleet_scheduler.core.community.publishing import HourRecord
from mediafleet_scheduler.core.community.work import counting as rules
from mediafleet_scheduler.core.community.work.counting import WorkCounting
from mediafleet_scheduler.core.community.work.kinds import ALL, Family, Kind, Work

K = 3
MIDNIGHT = 1_795_910_400 // 86_400 * 86_400.0
MODELS = frozenset({Kind.AI_BY_MODEL})


def tasks(model: str, sources: str, amount: float = 5) -> list[Work]:
    return [Work(each, Family.AI, amount, {Kind.AI_BY_MODEL: model}) for each in sources]


def an_hour(counting: Counting, start: float, work: list[Work]) -> HourRecord:
    """The record of an hour in which this runs."""
    counting.look(start, None, None, 0)
    counting.look_at_work(work, [Family.AI], 600)
    record = counting.look(start + 3600, None, None, 0)
    assert record is not None
    return record


def test_a_model_has_its_own_cell_from_the_day_after_enough_sources_asked_for_it() -> None:
    counting = Counting(MIDNIGHT, K, work=WorkCounting(MODELS, K))
    work = tasks("flux", "abc") + tasks("flite", "defg", 10)
    first = an_hour(counting, MIDNIGHT + 82_800, work)
    assert first.work == {"aiByModel": {ALL: 55}}
    second = an_hour(counting, MIDNIGHT + 86_400, work)
    assert second.work == {"aiByModel": {"flux": 15, "flite": 40}}


def test_models_of_few_are_together() -> None:
    counting = WorkCounting(MODELS, K)
    counting.look(tasks("flux", "abc") + tasks("one", "de") + tasks("two", "fg"), [Family.AI], 15)
    counting.begin_day()
    assert counting.groups[Kind.AI_BY_MODEL].cells == {WORLD, (*WORLD, "flux")}


def test_a_rest_of_too_few_takes_the_smallest_cell_with_it() -> None:
    counting = WorkCounting(MODELS, K)
    counting.look(
        tasks("flux", "abc") + tasks("flite", "abcd") + tasks("one", "e"), [Family.AI], 15
    )
    counting.begin_day()
    assert counting.groups[Kind.AI_BY_MODEL].cells == {WORLD, (*WORLD, "flite")}


def test_a_day_forgets_who_was_there_before() -> None:
    counting = WorkCounting(MODELS, K)
    counting.look(tasks("flux", "ab"), [Family.AI], 15)
    counting.begin_day()
    counting.look(tasks("flux", "c"), [Family.AI], 15)
    counting.begin_day()
    assert counting.groups[Kind.AI_BY_MODEL].cells == {WORLD}


def test_who_has_nothing_to_do_is_not_counted() -> None:
    counting = WorkCounting(MODELS, K)
    counting.look(tasks("flux", "abc", 0), [Family.AI], 15)
    counting.begin_day()
    assert counting.groups[Kind.AI_BY_MODEL].cells == {WORLD}


def test_an_hour_begins_with_nothing() -> None:
    counting = WorkCounting(MODELS, K)
    counting.look(tasks("flux", "abc"), [Family.AI], 15)
    assert counting.close_hour() == {"aiByModel": {ALL: 15}}
    assert counting.close_hour() == {}


def test_a_flood_of_names_costs_no_more_cells_than_a_bound() -> None:
    counting = WorkCounting(MODELS, K)
    for number in range(2 * rules.MOST_CELLS):
        counting.look(tasks(f"model-{number}", "abc"), [Family.AI], 15)
    counting.begin_day()
    cells = counting.groups[Kind.AI_BY_MODEL].cells
    assert len(cells) <= rules.MOST_CELLS + 1


def test_without_a_kind_that_is_shared_nothing_is_counted() -> None:
    counting = Counting(MIDNIGHT, K)
    assert an_hour(counting, MIDNIGHT, tasks("flux", "abc")).work == {}

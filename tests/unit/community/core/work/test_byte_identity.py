"""AI tasks of random days: what is not told could as well not have been, byte for byte, also for
who sees every output of the day."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mediafleet_scheduler.core.community.counting import Counting
from mediafleet_scheduler.core.community.pages.summary import as_html
from mediafleet_scheduler.core.community.publishing import HourRecord
from mediafleet_scheduler.core.community.rendering import Shared, as_json, as_prometheus
from mediafleet_scheduler.core.community.stored import as_stored, groups_as_stored
from mediafleet_scheduler.core.community.work.counting import WorkCounting, WorkGroups
from mediafleet_scheduler.core.community.work.kinds import Family, Kind, Work
from mediafleet_scheduler.core.community.work.windows import group_of

MIDNIGHT = 1_795_910_400 // 86_400 * 86_400
FIRST_DAY, HOURS = 24, (0, 12, 24, 25, 26)
"""Two hours of the first day, and three of the second, by cells of their own."""
KINDS = (Kind.AI_BY_TYPE, Kind.AI_BY_MODEL)


@dataclass(frozen=True)
class Caller:
    """What one has of one model by one pipeline, hour by hour."""

    source: str
    pipeline: str
    model: str
    tasks: tuple[int, ...]

    def work(self, index: int) -> Work:
        cells = {Kind.AI_BY_TYPE: self.pipeline, Kind.AI_BY_MODEL: self.model}
        return Work(self.source, Family.AI, self.tasks[index], cells)


CALLERS = st.lists(
    st.builds(
        Caller,
        st.sampled_from([f"{number:032x}" for number in range(9)]),
        st.sampled_from(["llm", "text-to-image", "audio-to-text"]),
        st.sampled_from(["m/a", "m/b", "m/c", "203.0.114.7"]),
        st.tuples(*[st.sampled_from([0, 0, 1, 3, 8, 40])] * len(HOURS)),
    ),
    max_size=24,
)


def lived(callers: list[Caller]) -> tuple[list[HourRecord], WorkGroups]:
    """The hours of the second day, and its cells."""
    counting = Counting(MIDNIGHT, 3, work=WorkCounting(KINDS, 3))
    records: list[HourRecord | None] = []
    for index, hour in enumerate(HOURS):
        for minute in range(0, 60, 20):
            records.append(counting.look(MIDNIGHT + hour * 3600 + minute * 60, [], 9, 1200))
            work = [each.work(index) for each in callers]
            counting.look_at_work(work, [Family.AI], 1200)
    groups = counting.work.groups
    records.append(counting.look(MIDNIGHT + 27 * 3600, [], None, 0))
    second = MIDNIGHT + 86_400
    return [each for each in records if each is not None and each.start >= second], groups


def told(records: list[HourRecord], groups: WorkGroups) -> bytes:
    """Every output of the day."""
    shared = Shared("eu-west", None, records)
    summary = as_json(shared)
    pages = json.dumps(summary, sort_keys=True) + as_html(summary) + as_prometheus(shared)
    return pages.encode() + as_stored(records) + groups_as_stored("2026-11-30", 3, [], groups)


def thinned(callers: list[Caller], records: list[HourRecord], groups: WorkGroups) -> list[Caller]:
    """The same without the work behind each figure of the second day that is not told."""
    by_hour = {(each.start - MIDNIGHT) // 3600: each.work for each in records}

    def is_told(caller: Caller, hour: int) -> bool:
        cells = {Kind.AI_BY_TYPE: caller.pipeline, Kind.AI_BY_MODEL: caller.model}
        if "." in caller.model:
            cells[Kind.AI_BY_MODEL] = "all"
        shown = by_hour.get(hour, {})
        return all(
            group_of(groups[kind], cell) in shown.get(kind.value, {})
            for kind, cell in cells.items()
        )

    return [
        replace(
            each,
            tasks=tuple(
                tasks if hour < FIRST_DAY or is_told(each, hour) else 0
                for hour, tasks in zip(HOURS, each.tasks, strict=True)
            ),
        )
        for each in callers
    ]


@settings(max_examples=150, deadline=None)
@given(CALLERS)
def test_all_work_behind_null_figures_can_go_and_every_output_is_the_same(
    callers: list[Caller],
) -> None:
    records, groups = lived(callers)
    again, same = lived(thinned(callers, records, groups))
    assert same == groups
    assert told(again, same) == told(records, groups)


@settings(max_examples=100, deadline=None)
@given(CALLERS)
def test_both_kinds_tell_the_same_work_but_for_rounding(callers: list[Caller]) -> None:
    for record in lived(callers)[0]:
        types, models = (record.work.get(kind.value, {}) for kind in KINDS)
        assert bool(types) == bool(models)
        bound = 2.5 * (len(types) + len(models))
        assert abs(sum(types.values()) - sum(models.values())) <= bound


@settings(max_examples=50, deadline=None)
@given(CALLERS)
def test_no_address_is_in_any_output(callers: list[Caller]) -> None:
    assert b"203.0.114" not in told(*lived(callers))

"""Work of random hours: what is null could as well not have been, in whatever kind it was null."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediafleet_scheduler.core.community.cells import WORLD
from mediafleet_scheduler.core.community.groups import Groups
from mediafleet_scheduler.core.community.work.kinds import ALL, Family, Kind, Work
from mediafleet_scheduler.core.community.work.windows import (
    Done,
    WorkFigures,
    WorkTally,
    admitted,
    group_of,
    publish_work,
)

K = 3
TYPES, SIZES = ("web", "participant", "track_composite"), ("360p", "720p", "1080p")
GROUPS = {
    Kind.EGRESS_BY_TYPE: Groups(frozenset({WORLD, (*WORLD, "web"), (*WORLD, "participant")})),
    Kind.EGRESS_BY_RESOLUTION: Groups(frozenset({WORLD, (*WORLD, "720p"), (*WORLD, "1080p")})),
    Kind.EGRESS_MINUTES: Groups(),
}
JOBS = st.builds(
    lambda source, kind, size, amount: Work(
        source,
        Family.EGRESS,
        amount,
        {Kind.EGRESS_BY_TYPE: kind, Kind.EGRESS_BY_RESOLUTION: size},
    ),
    st.sampled_from("abcdefgh"),
    st.sampled_from(TYPES),
    st.sampled_from(SIZES),
    st.sampled_from([0, 1, 2, 7, 30]),
)
LOOKS = st.lists(st.lists(JOBS, max_size=16), min_size=1, max_size=4)


@dataclass(frozen=True)
class Hour:
    """An hour that is over."""

    told: WorkFigures
    done: list[Done]
    seconds: Mapping[Family, float]

    @property
    def admitted(self) -> list[Done]:
        return admitted(self.done, self.seconds, K)


def hour(looks: Iterable[Iterable[Work]]) -> Hour:
    """An hour of which each look held for five minutes."""
    tally = WorkTally(GROUPS)
    for look in looks:
        tally.add(look, [Family.EGRESS], 300)
    done = tally.close()
    return Hour(publish_work(done, tally.seconds, K), done, tally.seconds)


def places(work: Work) -> list[tuple[Kind, str]]:
    return [(kind, group_of(GROUPS[kind], work.cells.get(kind, ALL))) for kind in GROUPS]


@settings(max_examples=200, deadline=None)
@given(LOOKS)
def test_all_work_behind_null_figures_can_go_and_every_figure_is_the_same(
    looks: list[list[Work]],
) -> None:
    told = hour(looks).told

    def is_told(work: Work) -> bool:
        return all(name in told.get(kind.value, {}) for kind, name in places(work))

    # Whoever sees the outputs alone knows which work that is.
    thinned = [list(filter(is_told, look)) for look in looks]
    assert hour(thinned).told == told


@settings(max_examples=200, deadline=None)
@given(LOOKS)
def test_no_figure_stands_for_fewer_than_k_sources_or_for_one_that_has_most(
    looks: list[list[Work]],
) -> None:
    for kind, figures in hour(looks).told.items():
        for name in figures:
            amounts: defaultdict[str, float] = defaultdict(float)
            for each in (work for look in looks for work in look):
                if (Kind(kind), name) in places(each) and each.amount:
                    amounts[each.source] += each.amount
            assert len(amounts) >= K


@settings(max_examples=200, deadline=None)
@given(LOOKS)
def test_what_is_admitted_has_enough_sources_in_each_of_its_cells(looks: list[list[Work]]) -> None:
    behind: defaultdict[tuple[Kind, str], defaultdict[str, float]] = defaultdict(
        lambda: defaultdict(float)
    )
    for each in hour(looks).admitted:
        for place in each.places:
            behind[place][each.source] += each.amount
    for sources in behind.values():
        assert len(sources) >= K
        assert max(sources.values()) <= 0.75 * sum(sources.values()) + 1e-9


@settings(max_examples=200, deadline=None)
@given(LOOKS)
def test_the_sums_of_two_kinds_cannot_be_subtracted_to_find_what_is_null(
    looks: list[list[Work]],
) -> None:
    sums: defaultdict[Kind, float] = defaultdict(float)
    for each in hour(looks).admitted:
        for kind, _ in each.places:
            sums[kind] += each.amount
    for one in sums.values():
        assert one == pytest.approx(sums[Kind.EGRESS_MINUTES])


@given(LOOKS, st.randoms())
def test_the_order_in_which_work_is_told_changes_nothing(
    looks: list[list[Work]], chance: random.Random
) -> None:
    again = [chance.sample(look, len(look)) for look in looks]
    assert hour(again).told == hour(looks).told


def job(source: str, kind: str, size: str, amount: float = 10) -> Work:
    cells = {Kind.EGRESS_BY_TYPE: kind, Kind.EGRESS_BY_RESOLUTION: size}
    return Work(source, Family.EGRESS, amount, cells)


def test_jobs_are_told_by_type_and_by_resolution_and_never_by_both() -> None:
    look = [job(source, "web", "720p") for source in "abc"]
    look += [job(source, "participant", "1080p", 4) for source in "def"]
    look += [job(source, "web", "1080p", 1) for source in "abc"]
    assert hour([look] * 12).told == {
        "egressByType": {"web": 35, "participant": 10},
        "egressByResolution": {"720p": 30, "1080p": 15},
        "egressMinutes": {ALL: 2700},
    }


def test_work_that_is_null_by_type_is_not_found_by_resolution() -> None:
    look = [job(source, "web", "720p") for source in "abc"]
    look += [job("d", "participant", "720p")]
    assert hour([look]).told["egressByResolution"] == {"720p": 30}
    assert hour([look]).told["egressByType"] == {"web": 30}


def test_what_is_taken_out_may_leave_another_figure_with_too_few() -> None:
    # Of 1080p are a, b, c; without c's, which are null by type, two are left.
    look = [job("a", "web", "1080p"), job("b", "web", "1080p"), job("c", "participant", "1080p")]
    look += [job(source, "web", "720p") for source in "def"]
    assert hour([look]).told["egressByResolution"] == {"720p": 30}
    assert hour([look]).told["egressByType"] == {"web": 30}


def test_one_source_with_more_than_three_quarters_hides_the_figure() -> None:
    look = [job("a", "web", "720p", 6), job("b", "web", "720p", 1), job("c", "web", "720p", 1)]
    assert hour([look]).told["egressByType"] == {"web": 10}
    look[0] = job("a", "web", "720p", 7)
    assert hour([look]).told == {}


def test_what_rounds_to_nothing_is_null_in_every_kind() -> None:
    many = [job(source, "participant", "1080p") for source in "abc"]
    few = [job(source, "web", "1080p", 0.8) for source in "abc"]
    assert hour([many]).told == hour([many + few]).told
    assert hour([many]).told["egressByResolution"] == {"1080p": 30}
    more = [job(source, "web", "1080p", 0.9) for source in "abc"]
    assert hour([many + more]).told["egressByType"] == {"participant": 30, "web": 5}
    assert hour([[job(source, "web", "720p", 0) for source in "abc"]]).told == {}


def test_minutes_are_those_that_were_looked_at_and_levels_are_averages_over_them() -> None:
    look = [job(source, "web", "720p") for source in "abc"]
    tally = WorkTally(GROUPS)
    tally.add(look, [Family.EGRESS], 600)
    tally.add([], [Family.EGRESS], 600)
    tally.add([], [], 600)
    told = publish_work(tally.close(), tally.seconds, K)
    assert told["egressByType"] == {"web": 15}
    assert told["egressMinutes"] == {ALL: 300}


def test_only_kinds_that_are_shared_and_families_that_are_known_are_counted() -> None:
    tally = WorkTally({Kind.AI_BY_TYPE: Groups()})
    tasks = [Work(source, Family.AI, 5, {Kind.AI_BY_MODEL: "flite"}) for source in "abc"]
    jobs = [job(source, "web", "720p") for source in "abc"]
    tally.add([*tasks, *jobs], [Family.AI, Family.EGRESS], 300)
    tally.add([*tasks, *jobs], [Family.EGRESS], 300)
    assert {each.places for each in tally.close()} == {((Kind.AI_BY_TYPE, ALL),)}
    assert publish_work(tally.close(), tally.seconds, K) == {"aiByType": {ALL: 15}}


def test_a_look_that_held_for_no_time_adds_nothing() -> None:
    tally = WorkTally(GROUPS)
    tally.add([job("a", "web", "720p")], [Family.EGRESS], 0)
    assert tally.close() == []

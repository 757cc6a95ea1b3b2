"""A day's groups: disjoint, nobody alone, the same for the same yesterday."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mediafleet_scheduler.core.community.cells import WORLD, Cell, country, grid, region
from mediafleet_scheduler.core.community.groups import Groups, fix_groups

K = 3

SOURCES = st.frozensets(st.sampled_from([f"s{number}" for number in range(12)]), max_size=6)
PLACES = st.one_of(
    st.tuples(st.sampled_from((-52, 48, 51, 52.6)), st.sampled_from((-170, 9, 11, 31))).map(
        lambda at: grid(*at)
    ),
    st.sampled_from([WORLD, country("de"), region("eu-west"), grid(51, 11)[:3], grid(51, 11)[:2]]),
)
YESTERDAYS = st.dictionaries(PLACES, SOURCES, max_size=8)


def counted(seen: dict[Cell, frozenset[str]], groups: Groups) -> dict[Cell, set[str]]:
    """The sources of each group."""
    found: dict[Cell, set[str]] = {}
    for cell, sources in seen.items():
        found.setdefault(groups.of(cell), set()).update(sources)
    return found


def test_on_the_first_day_the_world_is_the_only_group() -> None:
    assert fix_groups({}, K) == Groups(frozenset({WORLD}))


@given(YESTERDAYS)
def test_no_group_but_the_whole_world_has_fewer_than_k_sources(
    seen: dict[Cell, frozenset[str]],
) -> None:
    groups = fix_groups(seen, K)
    sizes = {group: len(sources) for group, sources in counted(seen, groups).items() if sources}
    assert all(size >= K for group, size in sizes.items() if group != WORLD)
    assert sizes.get(WORLD, 0) >= K or sizes.keys() <= {WORLD} or WORLD not in sizes


@given(YESTERDAYS)
def test_each_group_is_used_and_the_world_is_always_one(seen: dict[Cell, frozenset[str]]) -> None:
    groups = fix_groups(seen, K)
    assert groups.cells - counted(seen, groups).keys() <= {WORLD}
    assert WORLD in groups.cells


def test_a_bin_with_enough_stands_alone_and_the_rest_joins_what_is_around_it() -> None:
    berlin, prague, paris = grid(52.5, 13.4), grid(50.1, 14.4), grid(48.9, 2.3)
    seen = {
        berlin: frozenset("abc"),
        grid(46.0, 14.5): frozenset("d"),
        paris: frozenset("ef"),
    }
    assert prague == berlin
    groups = fix_groups(seen, K)
    assert groups.of(berlin) == berlin
    assert groups.of(paris) == groups.of(grid(46.0, 14.5)) == paris[:3]


def test_a_group_gives_up_its_name_where_the_rest_would_be_too_few() -> None:
    seen = {grid(52.5, 13.4): frozenset("abcd"), grid(-33.9, 18.4): frozenset("e")}
    assert fix_groups(seen, K).cells == {WORLD}
    enough = {**seen, grid(35.7, 139.7): frozenset("fgh")}
    assert fix_groups(enough, K).cells == {WORLD, grid(52.5, 13.4)}

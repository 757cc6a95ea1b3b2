"""The groups that a day's figures are published for, fixed from the day before. Pure.

A group is a cell without the groups inside it. Groups are disjoint and cover the world, so that no
two figures of a day can be subtracted to find a smaller one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from mediafleet_scheduler.core.community.cells import WORLD, Cell, within


@dataclass(frozen=True, slots=True)
class Groups:
    """A day's groups, each named by its cell; the world's is what no other has."""

    cells: frozenset[Cell] = frozenset({WORLD})

    def of(self, cell: Cell) -> Cell:
        """The group that a cell counts in: the smallest that has it."""
        for depth in range(len(cell), 1, -1):
            if cell[:depth] in self.cells:
                return cell[:depth]
        return WORLD


def fix_groups(seen: Mapping[Cell, Set[str]], k: int) -> Groups:
    """The next day's groups, from the sources that each cell had.

    From the finest cells up: a cell with at least `k` sources is a group of its own, if what it
    leaves its parent is nobody or at least `k` sources; else it joins its parent. Where the rest is
    too small, the smallest group joins it first, then the next.

    Args:
        seen: sources by cell, of a whole day; empty on the first day.
        k: sources that a group has at least, 2 or more.
    """
    return Groups(frozenset({WORLD, *_settle(WORLD, _all_sources(seen), k).groups}))


@dataclass(slots=True)
class _Settled:
    rest: set[str]
    """Sources of a cell that are in no group inside it."""
    groups: dict[Cell, frozenset[str]]


def _all_sources(seen: Mapping[Cell, Set[str]]) -> dict[Cell, set[str]]:
    """The sources of each cell on the way to a cell that had some, its own only."""
    own: defaultdict[Cell, set[str]] = defaultdict(set)
    for cell, sources in seen.items():
        for depth in range(1, len(cell) + 1):
            own[cell[:depth]] |= set()
        own[cell] |= sources
    return own


def _settle(cell: Cell, own: Mapping[Cell, Set[str]], k: int) -> _Settled:
    rest = set(own.get(cell, ()))
    groups: dict[Cell, frozenset[str]] = {}
    for child in sorted(_children(cell, own)):
        below = _settle(child, own, k)
        groups.update(below.groups)
        if len(below.rest) >= k:
            groups[child] = frozenset(below.rest)
        else:
            rest |= below.rest
    while 0 < len(rest) < k and groups:
        # One inside another group would join that one, and not the rest here.
        outermost = [each for each in groups if not _inside_another(each, groups)]
        rest |= groups.pop(min(outermost, key=lambda each: (len(groups[each]), each)))
    return _Settled(rest, groups)


def _inside_another(cell: Cell, groups: Iterable[Cell]) -> bool:
    return any(each != cell and within(cell, each) for each in groups)


def _children(cell: Cell, own: Iterable[Cell]) -> list[Cell]:
    depth = len(cell) + 1
    return [each for each in own if len(each) == depth and within(each, cell)]

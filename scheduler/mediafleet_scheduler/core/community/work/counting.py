"""Counts work into hours, by cells that are fixed for a day. Pure: the time is the caller's.

A cell of a day is a name that at least k sources had on the day before; the others are in the cell
`all`, which has nobody or at least k as well. On the first day there is `all` alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from mediafleet_scheduler.core.community.cells import WORLD, Cell
from mediafleet_scheduler.core.community.groups import Groups, fix_groups
from mediafleet_scheduler.core.community.work.kinds import ALL, FAMILY, Family, Kind, Work, cell
from mediafleet_scheduler.core.community.work.windows import WorkFigures, WorkTally, publish_work

MOST_CELLS: Final = 200
"""Of a kind and day; further names are in `all`."""
WorkGroups = Mapping[Kind, Groups]


class WorkCounting:
    """The hour that is open."""

    def __init__(self, kinds: Iterable[Kind], k: int, groups: WorkGroups | None = None) -> None:
        self.k = k
        self.groups: WorkGroups = {kind: (groups or {}).get(kind, Groups()) for kind in kinds}
        """Of the day, by kind; a kind that is not here is not shared."""
        self._tally = WorkTally(self.groups)
        self._seen: dict[Kind, defaultdict[Cell, set[str]]] = self._nobody()

    def look(self, work: Iterable[Work], families: Iterable[Family], seconds: float) -> None:
        """Take in what runs now and has for so many seconds; of other families it is unknown."""
        looked = list(work)
        for each in looked:
            for kind, seen in self._seen.items():
                if FAMILY[kind] is each.family and each.amount > 0:
                    seen[_place(seen, cell(kind, each.cells.get(kind, ALL)))].add(each.source)
        self._tally.add(looked, families, seconds)

    def close_hour(self) -> WorkFigures:
        """What is published of the hour, which is over."""
        closed, self._tally = self._tally, WorkTally(self.groups)
        return publish_work(closed.close(), closed.seconds, self.k)

    def begin_day(self) -> None:
        """Fix the cells of the day that begins; sources have new names in it."""
        self.groups = {kind: fix_groups(seen, self.k) for kind, seen in self._seen.items()}
        self._tally, self._seen = WorkTally(self.groups), self._nobody()

    def _nobody(self) -> dict[Kind, defaultdict[Cell, set[str]]]:
        return {kind: defaultdict(set) for kind in self.groups}


def _place(seen: Mapping[Cell, set[str]], name: str) -> Cell:
    place = WORLD if name == ALL else (*WORLD, name)
    return place if place in seen or len(seen) < MOST_CELLS else WORLD

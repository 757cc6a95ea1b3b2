"""One hour of work by source and cell, and what may be published of it. Pure.

Each kind is a division of the same work, so a figure that is null in one kind could be found as the
difference of the others' sums. Therefore work behind a null figure counts in no kind at all, which
may leave another figure with too few: it is taken out again, until nothing changes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mediafleet_scheduler.core.community.cells import WORLD
from mediafleet_scheduler.core.community.groups import Groups
from mediafleet_scheduler.core.community.publishing import may_be_published, rounded
from mediafleet_scheduler.core.community.work.kinds import ALL, FAMILY, Family, Kind, Work, cell

Place = tuple[Kind, str]
"""A kind and a cell of it."""
WorkFigures = Mapping[str, Mapping[str, int]]
"""What is published, by kind and cell; what is not there is nothing or too few."""


@dataclass(frozen=True, slots=True)
class Done:
    """What one source did of one thing in an hour."""

    source: str
    family: Family
    places: tuple[Place, ...]
    """One of each kind of the family that is shared."""
    amount: float
    """In the family's unit, averaged over the time that was looked at."""


@dataclass(slots=True)
class WorkTally:
    """Counts one hour as it goes by."""

    groups: Mapping[Kind, Groups]
    """The day's cells of each kind that is shared."""
    seconds: defaultdict[Family, float] = field(default_factory=lambda: defaultdict(float))
    """How long a family was looked at."""
    _totals: defaultdict[tuple[str, Family, tuple[Place, ...]], float] = field(
        default_factory=lambda: defaultdict(float)
    )

    def add(self, work: Iterable[Work], families: Iterable[Family], seconds: float) -> None:
        """Take in one look, which held for so many seconds.

        Args:
            work: what runs.
            families: of which it is known what runs; of others nothing is counted.
            seconds: since the look before.
        """
        known = frozenset(families)
        for family in known:
            self.seconds[family] += seconds
        for each in work:
            places = self._places(each)
            if each.family in known and places and each.amount > 0:
                self._totals[each.source, each.family, places] += each.amount * seconds

    def close(self) -> list[Done]:
        """What each source did."""
        return [
            Done(source, family, places, total / self.seconds[family])
            for (source, family, places), total in self._totals.items()
            if total > 0
        ]

    def _places(self, work: Work) -> tuple[Place, ...]:
        return tuple(
            (kind, group_of(groups, cell(kind, work.cells.get(kind, ALL))))
            for kind, groups in sorted(self.groups.items())
            if FAMILY[kind] is work.family
        )


def group_of(groups: Groups, name: str) -> str:
    """The cell that a name counts in on this day."""
    found = groups.of((*WORLD, name))
    return ALL if found == WORLD else found[-1]


def publish_work(done: Iterable[Done], seconds: Mapping[Family, float], k: int) -> WorkFigures:
    """What may be published of an hour, rounded to 5.

    Args:
        done: what each source did.
        seconds: how long each family was looked at.
        k: sources that stand behind a figure, at least.
    """
    found: dict[str, dict[str, int]] = {}
    for (kind, name), sources in sorted(_by_place(admitted(done, seconds, k)).items()):
        found.setdefault(kind.value, {})[name] = _shown(kind, sources, seconds)
    return found


def admitted(done: Iterable[Done], seconds: Mapping[Family, float], k: int) -> list[Done]:
    """The work of which every figure has enough sources, none with most of it, and is not 0.

    What rounds to 0 looks as what is null does, so it counts as null.
    """
    left = list(done)
    while True:
        told = {
            (kind, name)
            for (kind, name), sources in _by_place(left).items()
            if may_be_published(sources, k) and _shown(kind, sources, seconds)
        }
        kept = [each for each in left if told.issuperset(each.places)]
        if len(kept) == len(left):
            return kept
        left = kept


def _shown(kind: Kind, sources: Mapping[str, float], seconds: Mapping[Family, float]) -> int:
    amount = math.fsum(sources.values())
    if kind is Kind.EGRESS_MINUTES:
        amount *= seconds.get(Family.EGRESS, 0.0) / 60
    return rounded(amount)


def _by_place(done: Iterable[Done]) -> dict[Place, dict[str, float]]:
    amounts: defaultdict[Place, defaultdict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for each in done:
        for place in each.places:
            amounts[place][each.source].append(each.amount)
    return {
        # The same sum in any order: what was taken out leaves no trace in the last digit.
        place: {source: math.fsum(parts) for source, parts in sources.items()}
        for place, sources in amounts.items()
    }

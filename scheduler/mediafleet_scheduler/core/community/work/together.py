"""Work that several operators share, put together. Pure.

Unlike a gateway, a job is of one operator: amounts are added.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mediafleet_scheduler.core.community.work.kinds import Kind, cell


@dataclass(frozen=True, slots=True)
class WorkRow:
    """A cell of a kind, in the newest hour that each operator publishes."""

    kind: str
    cell: str
    operators: int
    """Who publish something of it."""
    amount: int
    """Their sum, in the unit of the kind."""


def work_rows(told: Iterable[Mapping[str, Mapping[str, int]]]) -> list[WorkRow]:
    """Each cell of each kind that this version knows; a name that no cell may have is left out.

    Args:
        told: by kind and cell, of one operator each.
    """
    amounts: defaultdict[tuple[Kind, str], list[int]] = defaultdict(list)
    for work in told:
        for kind in Kind:
            for name, amount in work.get(kind, {}).items():
                if cell(kind, name) == name:
                    amounts[kind, name].append(amount)
    return [
        WorkRow(kind.value, name, len(each), sum(each))
        for (kind, name), each in sorted(amounts.items())
    ]

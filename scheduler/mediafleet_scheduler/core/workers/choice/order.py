"""The workers that have room for a model, best first, kept from one task to the next. Pure.

A task changes one worker. So those that something happened to since the last choice are looked at
anew and put where they belong now, and the others stay: a choice among a thousand workers costs
about what it costs among ten.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Collection
from typing import Final

from mediafleet_scheduler.core.workers.choice.candidates import Candidate, Chosen, Rank
from mediafleet_scheduler.core.workers.views import Target

Look = Callable[[str], Candidate]
"""A worker as it is now, by its id."""


class Order:
    """The order over the workers of one model."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._stale: Final[set[str]] = set()
        """Workers that are to be put where they belong."""
        self._candidates: Final[dict[str, Candidate]] = {}
        """Those that have room."""
        self._ranks: Final[list[Rank]] = []
        """Of the same; a rank ends with the worker's id."""

    def touch(self, *workers: str) -> None:
        """Something happened to these workers."""
        self._stale.update(workers)

    def remove(self, worker: str) -> None:
        """A worker is gone."""
        self._stale.discard(worker)
        self._take_out(worker)

    def look_anew(self, look: Look) -> None:
        """Put those where they belong that something happened to."""
        for worker in self._stale:
            self._take_out(worker)
            candidate = look(worker)
            if candidate.fits(self._target):
                self._candidates[worker] = candidate
                bisect.insort(self._ranks, candidate.rank(self._target))
        self._stale.clear()

    def __len__(self) -> int:
        """Workers that have room."""
        return len(self._ranks)

    def best(self, excluded: Collection[str], preferred: str | None) -> Chosen | None:
        """The worker to give a task; `None`: none but excluded ones has room.

        `preferred` has had the task's session before: where it has room, it comes first.
        """
        kept = preferred is not None and preferred in self._candidates and preferred not in excluded
        found = (
            preferred if kept else next((r[-1] for r in self._ranks if r[-1] not in excluded), None)
        )
        if found is None:
            return None
        best = self._candidates[found]
        among = len(self._ranks) - sum(each in self._candidates for each in excluded)
        offer = best.worker.offers[self._target]
        return Chosen(
            best.worker, among, offer.warm, best.in_flight, offer.capacity, kept, best.pace
        )

    def _take_out(self, worker: str) -> None:
        before = self._candidates.pop(worker, None)
        if before is not None:
            del self._ranks[bisect.bisect_left(self._ranks, before.rank(self._target))]

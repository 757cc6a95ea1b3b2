"""Which worker gets a task: an order over those that have room."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mediafleet_scheduler.core.workers.views import Target, Worker


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker, as far as a choice looks at it."""

    worker: Worker
    in_flight: int
    """Tasks of the target's model that take up its capacity."""
    last_given: int
    """Counts up with each task that anybody is given, and with each failure: the lowest has waited
    longest."""
    open: bool = True
    """Whether it may be given tasks at all: it does not drain and is not in quarantine."""

    def room(self, target: Target) -> int:
        """How many more tasks of a model it takes; 0 or less: none."""
        offer = self.worker.offers.get(target)
        return 0 if offer is None else offer.capacity - self.in_flight

    def rank(self, target: Target) -> tuple[bool, float, int, str]:
        """Warm first, then least loaded, then longest without a task."""
        offer = self.worker.offers[target]
        return (
            not offer.warm,
            self.in_flight / offer.capacity,
            self.last_given,
            self.worker.id,
        )


def choose(
    target: Target, candidates: Iterable[Candidate], excluded: Collection[str]
) -> Worker | None:
    """The worker to give a task; `None`: none has room now."""
    able = (
        each
        for each in candidates
        if each.open and each.worker.id not in excluded and each.room(target) > 0
    )
    best = min(able, key=lambda each: each.rank(target), default=None)
    return None if best is None else best.worker

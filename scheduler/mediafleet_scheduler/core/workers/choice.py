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
    closed: str | None = None
    """Why it is given no task at all: it drains, is in quarantine, or said that it was full."""

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

    def fits(self, target: Target, excluded: Collection[str]) -> bool:
        """Whether it may be given a task now."""
        return self.closed is None and self.worker.id not in excluded and self.room(target) > 0

    def why_not(self, target: Target, excluded: Collection[str]) -> str | None:
        """Why it is not given a task now; `None`: it has room for it."""
        if self.worker.id in excluded:
            return "failed this task, or died with it"
        if self.closed is not None:
            return self.closed
        if self.room(target) > 0:
            return None
        return f"no room: {self.in_flight} of {self.worker.offers[target].capacity} in use"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The worker that is given a task, and why."""

    worker: Worker
    among: int
    """Workers that had room, itself counted."""
    warm: bool
    in_flight: int
    """Its tasks of the model before this one."""
    capacity: int
    """Tasks of the model that it takes at a time."""
    kept: bool
    """Whether it has had the task's session before."""


def choose(
    target: Target,
    candidates: Iterable[Candidate],
    excluded: Collection[str],
    preferred: str | None = None,
) -> Chosen | None:
    """The worker to give a task; `None`: none has room now.

    `preferred` has had the task's session before: where it has room, it comes first.
    """
    able = [each for each in candidates if each.fits(target, excluded)]
    best = min(
        able,
        key=lambda each: (each.worker.id != preferred, *each.rank(target)),
        default=None,
    )
    if best is None:
        return None
    offer = best.worker.offers[target]
    kept = best.worker.id == preferred
    return Chosen(best.worker, len(able), offer.warm, best.in_flight, offer.capacity, kept)

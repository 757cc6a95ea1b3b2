"""A worker as a choice looks at it: whether it has room, and its place among those that have."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mediafleet_scheduler.core.workers.views import Target, Worker

Rank = tuple[bool, float, int, str]


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
    pace: float = 1.0
    """How long it takes for a task of the model, beside others."""
    one_task: float = 1.0
    """What one more task adds to the load of a usual worker of the model."""

    def room(self, target: Target) -> int:
        """How many more tasks of a model it takes; 0 or less: none."""
        offer = self.worker.offers.get(target)
        return 0 if offer is None else offer.capacity - self.in_flight

    def rank(self, target: Target) -> Rank:
        """Warm first, then least loaded in time, then longest without a task.

        The load is what it would be with the task, times the pace. Among workers of one pace that
        is the order by the part of their capacity that is in use.
        """
        offer = self.worker.offers[target]
        load = self.in_flight / offer.capacity + self.one_task
        return (not offer.warm, self.pace * load, self.last_given, self.worker.id)

    def fits(self, target: Target) -> bool:
        """Whether it may be given a task now."""
        return self.closed is None and self.room(target) > 0

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
    pace: float = 1.0
    """How long it takes for a task, beside others; 1: as usual, or unknown."""

"""What goes wrong between the operator and the API server, and when: one thing in each plan."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

PlanT = TypeVar("PlanT")


class Fault(Enum):
    """One thing that goes wrong."""

    CRASH_BEFORE = "the operator dies before the write arrives"
    CRASH_AFTER = "it dies once the write is done, before it hears so"
    REPLY_LOST = "the write is done and its answer is lost"
    CONFLICT = "409"
    TOO_MANY = "429"
    INTERNAL = "500"
    UNAVAILABLE = "503"
    TIMEOUT_DONE = "504, and yet the write is done"
    SLOW = "the write takes seconds"
    SECOND = "a second operator starts, without a Lease"
    DROPPED = "an event of a pod is left out"
    DOUBLED = "an event of a pod comes twice"
    SWAPPED = "two events of pods come in the wrong order"
    MERGED = "an event of a pod waits for the next, and where that is of the same pod only it comes"
    CLOSED = "the watch of pods ends"
    EXPIRED = "the watch of pods ends, and its version is too old"
    LATE = "the events of pods stand still for seconds"
    STALE = "lists of pods show what was"


ON_EVENTS = frozenset(
    {
        Fault.DROPPED,
        Fault.DOUBLED,
        Fault.SWAPPED,
        Fault.MERGED,
        Fault.CLOSED,
        Fault.EXPIRED,
        Fault.LATE,
        Fault.STALE,
    }
)
"""Those that meet an event of a pod; the others meet a write."""
CODES: Mapping[Fault, int] = {
    Fault.CONFLICT: 409,
    Fault.TOO_MANY: 429,
    Fault.INTERNAL: 500,
    Fault.UNAVAILABLE: 503,
    Fault.TIMEOUT_DONE: 504,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A workload, and what meets its n-th write, or the n-th event of a pod."""

    workload: str
    fault: Fault
    nth: int

    def __str__(self) -> str:
        return f"{self.workload}: {self.fault.name.lower()} at {self.nth}"


@dataclass(frozen=True, slots=True)
class Course:
    """How many writes and events of pods a workload has when nothing goes wrong."""

    writes: int
    events: int


def every(courses: Mapping[str, Course]) -> Iterator[Plan]:
    """Each fault at each place."""
    for workload, course in courses.items():
        for fault in Fault:
            places = course.events if fault in ON_EVENTS else course.writes
            yield from (Plan(workload, fault, nth) for nth in range(1, places + 1))


def some(courses: Mapping[str, Course], count: int, seed: int) -> Sequence[Plan]:
    """So many of them, each fault as often as the others, and so each workload."""
    plans = list(every(courses))
    left = dealt(plans, lambda plan: plan.fault, len(plans), seed)
    used: Counter[str] = Counter()
    chosen: list[Plan] = []
    for fault in itertools.islice(itertools.cycle(Fault), min(count, len(plans))):
        of_it = [plan for plan in left if plan.fault is fault] or left
        plan = min(of_it, key=lambda each: used[each.workload])
        left.remove(plan)
        used[plan.workload] += 1
        chosen.append(plan)
    return chosen


def dealt(
    plans: Iterable[PlanT], fault_of: Callable[[PlanT], Enum], count: int, seed: int
) -> list[PlanT]:
    """So many of the plans by a seed, each fault as often as the others."""
    by_fault: dict[Enum, list[PlanT]] = {}
    for plan in plans:
        by_fault.setdefault(fault_of(plan), []).append(plan)
    chance = random.Random(seed)
    for each in by_fault.values():
        chance.shuffle(each)
    turns = max(map(len, by_fault.values()), default=0)
    by_turns = [
        each[turn] for turn in range(turns) for each in by_fault.values() if turn < len(each)
    ]
    return by_turns[:count]

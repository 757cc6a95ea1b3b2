"""What goes wrong between the operator and the API server, and when: one thing in each plan."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

PlanT = TypeVar("PlanT")
PODS: Final = "pods"


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
    DROPPED = "an event is left out"
    DOUBLED = "an event comes twice"
    SWAPPED = "two events come in the wrong order"
    MERGED = "an event waits for the next, and where that is of the same object only it comes"
    CLOSED = "the watch ends"
    EXPIRED = "the watch ends, and its version is too old"
    LATE = "the events stand still for seconds"
    STALE = "lists show what was, with the version of then"
    BACK = "the watch goes back: old events come again, it stands still there for seconds, and ends"


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
        Fault.BACK,
    }
)
"""Those that meet an event of a watch; the others meet a write."""
CODES: Mapping[Fault, int] = {
    Fault.CONFLICT: 409,
    Fault.TOO_MANY: 429,
    Fault.INTERNAL: 500,
    Fault.UNAVAILABLE: 503,
    Fault.TIMEOUT_DONE: 504,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A workload, and what meets its n-th write, or the n-th event of a watched collection."""

    workload: str
    fault: Fault
    nth: int
    of: str = PODS

    def __str__(self) -> str:
        of = f" of {self.of}" if self.of != PODS else ""
        return f"{self.workload}: {self.fault.name.lower()} at {self.nth}{of}"


@dataclass(frozen=True, slots=True)
class Course:
    """How many writes, and events of each collection, a workload has when nothing goes wrong."""

    writes: int
    events: Mapping[str, int]


def every(courses: Mapping[str, Course]) -> Iterator[Plan]:
    """Each fault at each place."""
    for workload, course in courses.items():
        for fault in Fault:
            places = course.events if fault in ON_EVENTS else {PODS: course.writes}
            for of, count in places.items():
                yield from (Plan(workload, fault, nth, of) for nth in range(1, count + 1))


def of(courses: Mapping[str, Course], collections: str) -> dict[str, Course]:
    """Of each, only the events of collections that a regular expression finds, and no writes."""
    kept = {
        workload: {
            name: count for name, count in each.events.items() if re.search(collections, name)
        }
        for workload, each in courses.items()
    }
    return {workload: Course(0, events) for workload, events in kept.items() if events}


def some(courses: Mapping[str, Course], count: int, seed: int) -> Sequence[Plan]:
    """So many of them: each fault as often as the others, then each workload, then each
    collection."""
    plans = list(every(courses))
    left: dict[Fault, list[Plan]] = {fault: [] for fault in Fault}
    for plan in dealt(plans, lambda plan: plan.fault, len(plans), seed):
        left[plan.fault].append(plan)
    used: Counter[object] = Counter()
    chosen: list[Plan] = []
    for turn in itertools.islice(itertools.cycle(Fault), min(count, len(plans))):
        of_it = left[turn] or list(itertools.chain(*left.values()))
        plan = min(of_it, key=lambda each: (used[each.workload], used[each.fault, each.of]))
        left[plan.fault].remove(plan)
        used.update([plan.workload, (plan.fault, plan.of)])
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

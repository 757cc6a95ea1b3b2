"""What goes wrong between a worker and its broker, and when: one thing in each plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final


class StreamFault(Enum):
    """One thing that goes wrong."""

    REGISTRATION_LOST = "the stream ends before the registration arrives"
    WELCOME_LOST = "the registration arrives, and the stream ends before its answer"
    CUT_BEFORE = "the stream ends before a job arrives"
    CUT_AFTER = "the stream ends right after a job has arrived"
    LATE = "a job arrives late"
    RESULT_LOST = "the connection ends before a result arrives"
    RESULT_CUT = "the connection ends in the middle of a result"
    ANSWER_LOST = "a result arrives, and its answer is lost"
    RESULT_TWICE = "a result arrives twice"
    RESULT_LATE = "a result arrives late"
    AWAY = "all connections end, and for a while there is no broker"
    KILLED_AT_JOB = "the broker is killed as it sends a job"
    KILLED_AT_RESULT = "the broker is killed before a result arrives"


ON_REGISTRATIONS: Final = frozenset({StreamFault.REGISTRATION_LOST, StreamFault.WELCOME_LOST})
ON_JOBS: Final = frozenset(
    {
        StreamFault.CUT_BEFORE,
        StreamFault.CUT_AFTER,
        StreamFault.LATE,
        StreamFault.AWAY,
        StreamFault.KILLED_AT_JOB,
    }
)
"""The rest meets a result."""
KILLS: Final = frozenset({StreamFault.KILLED_AT_JOB, StreamFault.KILLED_AT_RESULT})
"""These need a second broker."""


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What meets the n-th registration, job or result."""

    fault: StreamFault
    nth: int

    def __str__(self) -> str:
        return f"{self.fault.name.lower()} at {self.nth}"


@dataclass(frozen=True, slots=True)
class StreamCourse:
    """How much goes through the proxy when nothing goes wrong."""

    registrations: int
    jobs: int
    results: int

    def places(self, fault: StreamFault) -> int:
        """How many there are for a fault to meet."""
        if fault in ON_REGISTRATIONS:
            return self.registrations
        return self.jobs if fault in ON_JOBS else self.results


def every(course: StreamCourse, *, kills: bool = False) -> Iterator[StreamPlan]:
    """Each fault at each place: kills, or all others."""
    for fault in StreamFault:
        if (fault in KILLS) is not kills:
            continue
        yield from (StreamPlan(fault, nth) for nth in range(1, course.places(fault) + 1))

"""The fewest pods with which none of a trace's jobs is refused. Pure.

A run that refuses ends at the first job that it refuses; one that does not goes through the whole
trace, and that is what costs. So the stretch around the fullest moment is tried by itself first, a
small part of a long trace: what it needs is close to what the trace needs, and runs of all of it
begin there.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from mediafleet_scheduler.simulate.running import refuses
from mediafleet_scheduler.simulate.setup import Placing, Setup
from mediafleet_scheduler.simulate.traces import TraceJob

_WORTH: Final = 4
"""A stretch is tried by itself if the trace has so many times its jobs."""
_AHEAD: Final = 4
"""Of the jobs that run at the fullest moment, one part in so many comes after it."""


class Fullest(NamedTuple):
    """The moment at which the jobs of a trace take most CPUs."""

    at: float
    cores: float
    jobs: int
    """How many run."""


def fullest(jobs: Sequence[TraceJob], setup: Setup) -> Fullest:
    """The fullest moment, if every job gets a place at once."""
    cost = {kind: setup.costs.of(kind) for kind in {job.kind for job in jobs}}
    changes = [(job.at, cost[job.kind], 1) for job in jobs]
    changes += [(job.at + job.seconds, -cost[job.kind], -1) for job in jobs]
    cores, running, found = 0.0, 0, Fullest(0.0, 0.0, 0)
    for at, by, step in sorted(changes):
        cores += by
        running += step
        if cores > found.cores:
            found = Fullest(at, cores, running)
    return found


def pods_at_peak(moment: Fullest, setup: Setup) -> int:
    """Pods whose CPUs the jobs of the fullest moment take: fewer are hardly ever enough."""
    return max(1, math.ceil(moment.cores / (setup.cpu * setup.max_cpu_utilization)))


def pods_guessed(jobs: Sequence[TraceJob], setup: Setup, placing: Placing, most: int) -> int:
    """A guess at how many are needed: right, or off by one or two as a rule."""
    moment = fullest(jobs, setup)
    start = pods_at_peak(moment, setup)
    stretch = _stretch(jobs, moment)
    if len(stretch) * _WORTH > len(jobs):
        return start

    def refused_with(count: int) -> bool:
        return refuses(stretch, replace(setup, pods=count), placing)

    return pods_needed(refused_with, start, most) or most


def _stretch(jobs: Sequence[TraceJob], moment: Fullest) -> list[TraceJob]:
    """As many as run at that moment before it, a few after it, and all that still run then."""
    came = bisect.bisect_right(jobs, moment.at, key=lambda job: job.at)
    first = jobs[max(0, came - moment.jobs)].at if jobs else 0.0
    upto = came + moment.jobs // _AHEAD
    return [job for job in jobs[:upto] if job.at + job.seconds > first]


def pods_needed(refused_with: Callable[[int], bool], start: int, most: int) -> int | None:
    """The fewest pods with which no job is refused; `None`: not even `most` are enough.

    `refused_with` tells whether any is refused with so many pods; more pods never refuse more, but
    for an auction, of which chance may have it so: then it is a count of which one less refuses.
    It looks near `start` first, and below the middle later: a run that refuses ends there, and one
    that does not goes through the whole trace.
    """
    low, high, step = 0, min(max(1, start), most), 1
    while refused_with(high):
        if high >= most:
            return None
        low, high, step = high, min(most, high + step), 2 * step
    if low == 0:
        # Enough as it is, so it may be too many: down by steps that grow.
        while low == 0 and high > 1:
            lower = max(1, high - step)
            if refused_with(lower):
                low = lower
            else:
                high, step = lower, 2 * step
    while high - low > 1:
        middle = low + max(1, (high - low) // 3)
        low, high = (middle, high) if refused_with(middle) else (low, middle)
    return high

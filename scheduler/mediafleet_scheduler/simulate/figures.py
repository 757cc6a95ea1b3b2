"""What a simulated run comes to, in figures. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.simulate.setup import Outcome, Setup


@dataclass(frozen=True, slots=True)
class Figures:
    """What one way of placing made of a trace."""

    jobs: int
    placed: int
    refused: int
    refused_by_type: Mapping[RequestType, int]
    asked_again: int
    """Requests that clients had to repeat."""
    turned_down: int
    """Times that a pod was given a job and refused it."""
    wait_p50: float
    """Seconds from the first request until a pod took the job, of the placed ones."""
    wait_p99: float
    wait_max: float
    jobs_per_pod: tuple[int, ...]
    """How many each pod was given in all."""
    skew: int
    """Most less fewest jobs on a pod, at the moment when most jobs ran."""
    busy_most: int
    """Pods with a job, at most."""
    busy_mean: float
    """Pods with a job, on average over the trace."""
    emptied_mean: float
    """Pods without a job, on average from the first to the last start: a scale-down could have
    had them without waiting."""


def figures(outcomes: Sequence[Outcome], setup: Setup) -> Figures:
    """The figures of a run."""
    placed = [each for each in outcomes if each.pod is not None]
    waits = sorted(each.waited or 0.0 for each in placed)
    refused = [each for each in outcomes if each.pod is None]
    given = Counter(each.pod for each in placed)
    busy = _Busy(placed, setup.pods)
    return Figures(
        jobs=len(outcomes),
        placed=len(placed),
        refused=len(refused),
        refused_by_type=dict(sorted(Counter(each.job.kind for each in refused).items())),
        asked_again=sum(each.attempts - 1 for each in outcomes),
        turned_down=sum(each.turned_down for each in outcomes),
        wait_p50=quantile(waits, 0.5),
        wait_p99=quantile(waits, 0.99),
        wait_max=waits[-1] if waits else 0.0,
        jobs_per_pod=tuple(given[number] for number in range(setup.pods)),
        skew=busy.skew,
        busy_most=busy.most,
        busy_mean=busy.mean,
        emptied_mean=setup.pods - busy.mean_while_starting,
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that so large a share does not exceed; 0 for nothing."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def changes(outcomes: Sequence[Outcome]) -> Iterator[tuple[float, int, int]]:
    """Time, pod and +1 or -1 for each begin and end, in order; an end before a begin."""
    events = []
    for each in outcomes:
        if each.pod is not None and each.began is not None and each.ended is not None:
            events += [(each.began, each.pod, 1), (each.ended, each.pod, -1)]
    yield from sorted(events, key=lambda event: (event[0], event[2]))


class _Busy:
    """How many pods had jobs, over time."""

    def __init__(self, placed: Sequence[Outcome], pods: int) -> None:
        running = [0] * pods
        last_start = max((each.began or 0.0 for each in placed), default=0.0)
        jobs = most_jobs = busy = self.most = self.skew = 0
        before = area = area_while_starting = 0.0
        for at, pod, step in changes(placed):
            area += busy * (at - before)
            area_while_starting += busy * max(0.0, min(at, last_start) - before)
            before = at
            running[pod] += step
            busy += (running[pod] == 1 and step == 1) - (running[pod] == 0)
            jobs += step
            self.most = max(self.most, busy)
            if jobs > most_jobs:
                most_jobs, self.skew = jobs, max(running) - min(running)
        self.mean = area / before if before else 0.0
        self.mean_while_starting = area_while_starting / last_start if last_start else float(busy)

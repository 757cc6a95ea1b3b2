"""What jobs of each type really use, learnt from what pods say of their load. Pure, one per fleet.

A pod tells its CPU load and which jobs it runs, not what each of them uses. Over many mixtures of
jobs the cost of each type follows by non-negative least squares: the CPUs of a pod are the sum over
its jobs, plus a base that the pod uses by itself.

    reading      one look at a pod: its jobs and its CPUs
    observation  the mean of a pod's readings while its jobs stayed the same, up to a minute
    window       the observations of the last hours, from which the costs are fitted

A cost counts as sure only after enough jobs and with a small error. Types that always come together
cannot be told apart, have a large error, and are not sure.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.egress.costs import CpuCost, RequestType
from mediafleet_common.api.egress.placement import LearnedCosts, Use
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.least_squares import Equations, solve

WARM_UP_SECONDS: Final = 10.0
"""A job that is younger has not its usual load yet."""
OBSERVATION_SECONDS: Final = 60.0
WINDOW_SECONDS: Final = 6 * 3600.0
MOST_OBSERVATIONS: Final = 4000
ENOUGH_JOBS: Final = 20
"""A type's cost is not sure with fewer jobs in the window."""
GOOD_ERROR: Final = 0.075
"""A cost is sure when its standard error is at most this part of it: of 20 such costs, 19 are
within 15 % then."""


_KINDS: Final = tuple(RequestType)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a type was learnt to cost."""

    cores: float
    """CPUs that one job uses on average."""
    error: float
    """Standard error in CPUs; infinite: the readings do not tell."""
    jobs: int
    """Jobs of the type in the window."""

    @property
    def sure(self) -> bool:
        """Whether it may be relied on."""
        return self.jobs >= ENOUGH_JOBS and 0 < self.error_share <= GOOD_ERROR

    @property
    def error_share(self) -> float:
        """The error as a part of the cost."""
        return max(self.error, 1e-6) / self.cores if self.cores > 0 else math.inf


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learnt of a fleet's jobs."""

    costs: Mapping[RequestType, Cost]
    """Of each type that was seen."""
    base_cores: float = 0.0
    """CPUs that a pod with jobs uses beside them."""
    observations: int = 0

    def estimate(self, kind: RequestType, costs: CpuCost, rule: LearnedCosts) -> float | None:
        """What is to be sent as `estimated_cpu` for a job; `None`: the table's cost is.

        It is the learnt cost and its error, within floor and ceiling.
        """
        cost = self.costs.get(kind)
        if rule.use is not Use.APPLY or cost is None or not cost.sure:
            return None
        table = costs.of(kind)
        return min(max(cost.cores + cost.error, table * rule.floor), table * rule.ceiling)


NOTHING_LEARNED: Final = Learned({})


@dataclass(slots=True)
class _Looking:
    """An observation that is being made."""

    jobs: Mapping[str, RequestType]
    began: float
    readings: int = 0
    cores: float = 0.0


@dataclass(frozen=True, slots=True)
class _Observation:
    at: float
    row: tuple[int, ...]
    """1 for the pod itself, then how many jobs of each type."""
    cores: float


class Window:
    """The readings of a fleet's pods, of the last hours."""

    def __init__(self) -> None:
        self._looking: dict[str, _Looking] = {}
        self._observations: deque[_Observation] = deque()
        self._sums = Equations(1 + len(_KINDS))
        self._jobs: dict[str, tuple[RequestType, float]] = {}

    def read(self, pod: str, jobs: Mapping[str, Job], cores: float | None, now: float) -> None:
        """A pod (uid) runs these jobs, by egress id, and uses so many CPUs.

        `cores` is `None` when that is unknown or when it runs other jobs too.
        """
        kinds = {egress_id: job.kind for egress_id, job in jobs.items()}
        looking = self._looking.get(pod)
        if looking is not None and (
            cores is None or looking.jobs != kinds or now - looking.began >= OBSERVATION_SECONDS
        ):
            self._conclude(self._looking.pop(pod))
            looking = None
        young = any(
            job.started_at is None or now - job.started_at < WARM_UP_SECONDS
            for job in jobs.values()
        )
        if cores is None or not kinds or young:
            return
        if looking is None:
            looking = self._looking[pod] = _Looking(kinds, now)
        looking.readings += 1
        looking.cores += cores
        for egress_id, kind in kinds.items():
            self._jobs[egress_id] = (kind, now)

    def keep_only(self, pods: set[str]) -> None:
        """Only these pods are there."""
        for uid in self._looking.keys() - pods:
            del self._looking[uid]

    def learned(self, now: float) -> Learned:
        """The costs that fit best."""
        self._forget(now - WINDOW_SECONDS)
        solution = solve(self._sums)
        jobs = Counter(kind for kind, _ in self._jobs.values())
        count = len(self._observations)
        # A job that needs more than others does so in each of its observations: what tells apart
        # is how many jobs there were, not how often each was looked at.
        looks = sum(self._sums.gram[0][1:])
        repeated = math.sqrt(max(1.0, looks / max(1, len(self._jobs))))
        costs = {
            kind: Cost(solution.values[at], solution.errors[at] * repeated, jobs[kind])
            for at, kind in enumerate(_KINDS, 1)
            if self._sums.gram[at][at] > 0
        }
        return Learned(costs, solution.values[0], count)

    def _conclude(self, looking: _Looking) -> None:
        if looking.readings:
            counts = Counter(looking.jobs.values())
            row = (1, *(counts[kind] for kind in _KINDS))
            seen = _Observation(looking.began, row, looking.cores / looking.readings)
            self._observations.append(seen)
            self._sums.add(seen.row, seen.cores)

    def _forget(self, before: float) -> None:
        seen = self._observations
        while seen and (seen[0].at < before or len(seen) > MOST_OBSERVATIONS):
            oldest = seen.popleft()
            self._sums.remove(oldest.row, oldest.cores)
        self._jobs = {key: last for key, last in self._jobs.items() if last[1] >= before}

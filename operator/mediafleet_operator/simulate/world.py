"""A fleet on virtual time: jobs come, wait, run and end; pods start and drain.

What the operator and the desk do is played here as they do it: draining pods are taken back first,
idle ones leave first, a busy one is waited for, jobs go to the fullest pod. Nothing is random.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mediafleet_common.api.names import Kind
from mediafleet_common.reports.demand import FleetDemand

JOB: Final = "web"
REFUSED_SECONDS: Final = 900.0
"""For so long a desk tells of what it refused (scheduler, core/egress/queue.py)."""
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Terms:
    """What a fleet is like."""

    each: float = 4
    """What jobs may take of a pod: as many as there are, where each costs 1."""
    start_seconds: float = 12.0
    """From creating a pod until it is Ready."""
    settle_seconds: float = 5.0
    wait_seconds: float = 20.0
    """How long a request waits before it is refused."""
    costs: Mapping[str, float] = field(default_factory=lambda: {JOB: 1.0})
    """What a job of each type takes of a pod."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job that is asked for."""

    seconds: float
    """For how long it runs."""
    kind: str = JOB


@dataclass(slots=True)
class Pod:
    """One pod."""

    slot: int
    ready_at: float
    jobs: int = 0
    used: float = 0.0
    draining_since: float | None = None

    def ready(self, now: float) -> bool:
        """Whether it takes work."""
        return self.ready_at <= now and self.draining_since is None


@dataclass(slots=True)
class Tally:
    """What came of a run."""

    placed: int = 0
    refused: int = 0
    waited: list[float] = field(default_factory=list)
    """Seconds that each placed job waited."""
    pod_seconds: float = 0.0
    most_pods: int = 0
    cut_off: int = 0
    """Jobs whose pod was deleted under them."""


class World:
    """The fleet."""

    def __init__(self, terms: Terms, replicas: int, now: float) -> None:
        self.terms = terms
        self.now = now
        self.replicas = replicas
        self.pods = [Pod(slot, now) for slot in range(replicas)]
        self.waiting: list[tuple[float, Arrival]] = []
        """When each request came."""
        self.tally = Tally()
        self._ends: list[tuple[float, int, Pod, float]] = []
        self._turn = itertools.count()
        self._refused: deque[tuple[float, str]] = deque()
        self._each = {
            kind: int(terms.each / cost + _ROUNDING) for kind, cost in terms.costs.items()
        }

    def step(
        self,
        arrivals: Iterable[Arrival | float],
        *,
        operated: bool = True,
        seconds: float = 1.0,
    ) -> None:
        """Some time; `arrivals` are the jobs that come in it, or how long they run. `operated`:
        whether the operator can act."""
        self.now += seconds
        while self._ends and self._ends[0][0] <= self.now:
            _, _, pod, cost = heapq.heappop(self._ends)
            pod.jobs -= 1
            pod.used = pod.used - cost if pod.jobs else 0.0
        self.waiting += [
            (self.now, each if isinstance(each, Arrival) else Arrival(each)) for each in arrivals
        ]
        if operated:
            self._operate()
        if self.waiting:
            self._place()
        self.tally.pod_seconds += len(self.pods) * seconds
        self.tally.most_pods = max(self.tally.most_pods, len(self.pods))

    @property
    def counted(self) -> list[Pod]:
        """Pods that count: draining ones do not."""
        return [pod for pod in self.pods if pod.draining_since is None]

    @property
    def ready(self) -> int:
        """Pods that take work."""
        return sum(pod.ready(self.now) for pod in self.pods)

    @property
    def work(self) -> int:
        """Jobs that run."""
        return len(self._ends)

    def demand(self) -> FleetDemand:
        """What a desk says of it."""
        ready = [pod for pod in self.pods if pod.ready(self.now)]
        queued = Counter(each.kind for _, each in self.waiting)
        costs, size = self.terms.costs, self.terms.each
        free = {
            kind: sum(max(int((size - pod.used) / cost + _ROUNDING), 0) for pod in ready)
            for kind, cost in costs.items()
        }
        # It is built as often as every second of weeks, and from numbers that are right.
        return FleetDemand.model_construct(
            kind=Kind.EGRESS_FLEET,
            namespace="media",
            name="rec",
            known=True,
            at=self.now,
            ready=len(ready),
            busy=sum(bool(pod.jobs) for pod in ready),
            work=sum(pod.jobs for pod in ready),
            used=sum(pod.used for pod in ready),
            size=size,
            free=free,
            each=self._each,
            queued=dict(queued),
            refused=self._refused_lately(),
            queued_cost=sum(costs[kind] * count for kind, count in queued.items()),
            leaving=sum(pod.jobs for pod in self.pods if pod.draining_since is not None),
        )

    def _refused_lately(self) -> dict[str, int]:
        while self._refused and self.now - self._refused[0][0] >= REFUSED_SECONDS:
            self._refused.popleft()
        return dict(Counter(kind for _, kind in self._refused))

    def _place(self) -> None:
        still = []
        size = self.terms.each + _ROUNDING
        full: set[float] = set()
        for came, arrival in self.waiting:
            cost = self.terms.costs[arrival.kind]
            takers = (
                ()
                if cost in full
                else [pod for pod in self.pods if pod.ready(self.now) and pod.used + cost <= size]
            )
            if takers:
                pod = max(takers, key=lambda pod: (pod.used, -pod.slot))
                pod.jobs += 1
                pod.used += cost
                end = (self.now + arrival.seconds, next(self._turn), pod, cost)
                heapq.heappush(self._ends, end)
                self.tally.placed += 1
                self.tally.waited.append(self.now - came)
                continue
            full.add(cost)
            if self.now - came >= self.terms.wait_seconds:
                self.tally.refused += 1
                self._refused.append((self.now, arrival.kind))
            else:
                still.append((came, arrival))
        self.waiting = still

    def _operate(self) -> None:
        counted = self.counted
        missing = self.replicas - len(counted)
        if missing > 0:
            missing = self._take_back(missing)
            for _ in range(missing):
                self.pods.append(Pod(self._free_slot(), self.now + self.terms.start_seconds))
        if missing < 0:
            order = sorted(counted, key=lambda pod: (pod.ready_at <= self.now, pod.jobs, -pod.slot))
            for pod in order[:-missing]:
                if pod.ready_at > self.now:
                    self.pods.remove(pod)
                else:
                    pod.draining_since = self.now
        if len(counted) < len(self.pods) or missing < 0:
            self._delete_drained()

    def _take_back(self, missing: int) -> int:
        """Pods that drain take work again; how many are still missing."""
        draining = [pod for pod in self.pods if pod.draining_since is not None]
        for pod in sorted(draining, key=lambda pod: (-pod.jobs, pod.slot))[:missing]:
            pod.draining_since = None
            missing -= 1
        return missing

    def _delete_drained(self) -> None:
        for pod in list(self.pods):
            since = pod.draining_since
            if since is not None and not pod.jobs and self.now - since >= self.terms.settle_seconds:
                self.pods.remove(pod)
                self.tally.cut_off += pod.jobs

    def _free_slot(self) -> int:
        taken = {pod.slot for pod in self.pods}
        return next(slot for slot in range(len(taken) + 1) if slot not in taken)

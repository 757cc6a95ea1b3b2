"""A fleet on virtual time, a second a step: jobs come, wait, run and end; pods start and drain.

What the operator and the desk do is played here as they do it: draining pods are taken back first,
idle ones leave first, a busy one is waited for, jobs go to the fullest pod. Nothing is random.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from mediafleet_common.api.names import Kind
from mediafleet_common.reports.demand import FleetDemand

JOB: Final = "web"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a fleet is like."""

    each: int = 4
    """Jobs that a pod takes."""
    start_seconds: float = 12.0
    """From creating a pod until it is Ready."""
    settle_seconds: float = 5.0
    wait_seconds: float = 20.0
    """How long a request waits before it is refused."""


@dataclass(slots=True)
class Pod:
    """One pod; `jobs` are the times at which its jobs end."""

    slot: int
    ready_at: float
    jobs: list[float] = field(default_factory=list)
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
    cut_off: int = 0
    """Jobs whose pod was deleted under them."""


class World:
    """The fleet."""

    def __init__(self, terms: Terms, replicas: int, now: float) -> None:
        self.terms = terms
        self.now = now
        self.replicas = replicas
        self.pods = [Pod(slot, now) for slot in range(replicas)]
        self.waiting: list[tuple[float, float]] = []
        """When each request came, and for how long its job runs."""
        self.tally = Tally()

    def step(self, arrivals: Iterable[float], *, operated: bool = True) -> None:
        """One second; `arrivals` are the durations of the jobs that come in it. `operated`:
        whether the operator can act."""
        self.now += 1.0
        for pod in self.pods:
            pod.jobs = [end for end in pod.jobs if end > self.now]
        self.waiting += [(self.now, seconds) for seconds in arrivals]
        if operated:
            self._operate()
        self._place()
        self.tally.pod_seconds += len(self.pods)

    @property
    def counted(self) -> list[Pod]:
        """Pods that count: draining ones do not."""
        return [pod for pod in self.pods if pod.draining_since is None]

    @property
    def ready(self) -> int:
        """Pods that take work."""
        return sum(pod.ready(self.now) for pod in self.pods)

    def demand(self) -> FleetDemand:
        """What a desk says of it."""
        ready = [pod for pod in self.pods if pod.ready(self.now)]
        work = sum(len(pod.jobs) for pod in ready)
        queued = len(self.waiting)
        return FleetDemand(
            kind=Kind.EGRESS_FLEET,
            namespace="media",
            name="rec",
            known=True,
            at=self.now,
            ready=len(ready),
            busy=sum(bool(pod.jobs) for pod in ready),
            work=work,
            used=float(work),
            size=float(self.terms.each),
            free={JOB: sum(max(self.terms.each - len(pod.jobs), 0) for pod in ready)},
            each={JOB: self.terms.each},
            queued={JOB: queued} if queued else {},
            queued_cost=float(queued),
            leaving=sum(len(pod.jobs) for pod in self.pods if pod.draining_since is not None),
        )

    def _place(self) -> None:
        still = []
        for came, seconds in self.waiting:
            takers = [
                pod for pod in self.pods if pod.ready(self.now) and len(pod.jobs) < self.terms.each
            ]
            if takers:
                pod = max(takers, key=lambda pod: (len(pod.jobs), -pod.slot))
                pod.jobs.append(self.now + seconds)
                self.tally.placed += 1
                self.tally.waited.append(self.now - came)
            elif self.now - came >= self.terms.wait_seconds:
                self.tally.refused += 1
            else:
                still.append((came, seconds))
        self.waiting = still

    def _operate(self) -> None:
        missing = self.replicas - len(self.counted)
        draining = [pod for pod in self.pods if pod.draining_since is not None]
        for pod in sorted(draining, key=lambda pod: (-len(pod.jobs), pod.slot))[: max(missing, 0)]:
            pod.draining_since = None
            missing -= 1
        for _ in range(max(missing, 0)):
            self.pods.append(Pod(self._free_slot(), self.now + self.terms.start_seconds))
        order = sorted(
            self.counted, key=lambda pod: (pod.ready_at <= self.now, len(pod.jobs), -pod.slot)
        )
        for pod in order[: max(-missing, 0)]:
            if pod.ready_at > self.now:
                self.pods.remove(pod)
            else:
                pod.draining_since = self.now
        self._delete_drained()

    def _delete_drained(self) -> None:
        for pod in list(self.pods):
            since = pod.draining_since
            if since is not None and not pod.jobs and self.now - since >= self.terms.settle_seconds:
                self.pods.remove(pod)
                self.tally.cut_off += len(pod.jobs)

    def _free_slot(self) -> int:
        taken = {pod.slot for pod in self.pods}
        return next(slot for slot in range(len(taken) + 1) if slot not in taken)

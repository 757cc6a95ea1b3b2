"""Simulated pods: what they really run, and what they admit by their own count. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.probes.load import Load
from mediafleet_scheduler.core.egress.accounting.accounts import (
    Job,
    Measured,
    free_cores,
    used_cores,
)
from mediafleet_scheduler.core.egress.accounting.ledger import Pod
from mediafleet_scheduler.core.egress.accounting.resources import Need, Rest, Rules, rest
from mediafleet_scheduler.core.egress.placement.affinity import Bidder, PendingBids
from mediafleet_scheduler.core.egress.placement.modes import NOTHING_TAKEN
from mediafleet_scheduler.simulate.setup import Setup
from mediafleet_scheduler.simulate.traces import TraceJob


@dataclass(slots=True)
class SimulatedPod:
    """A pod that knows exactly what each of its jobs uses, as a stock one does."""

    pod: Pod
    setup: Setup
    needs: Mapping[RequestType, Need]
    """What a job of each type takes of it."""
    running: dict[str, Job] = field(default_factory=dict)
    real: dict[str, float] = field(default_factory=dict)
    """CPUs that each job really uses."""
    pending: PendingBids = field(default_factory=PendingBids)
    counts_until: float = -math.inf
    """Until when it counts as it last did."""
    scores: dict[RequestType, float] = field(default_factory=dict)
    """What it bids by type, nothing left to chance, until it counts otherwise."""
    _bidders: dict[RequestType, Bidder] = field(default_factory=dict)
    """By type, without bids that are pending, until it counts otherwise."""
    _left: tuple[float, Rest] = (0.0, NOTHING_TAKEN)
    """CPUs that the next job may take, and the rest."""
    _others: int = 0
    """Jobs that really use something else than they cost."""

    @property
    def cores(self) -> float:
        """CPUs it has."""
        return self.setup.cpu

    def left(self, now: float) -> tuple[float, Rest]:
        """CPUs that the next job may take, and what is left beside them."""
        if self.counts_until <= now:
            jobs = self.running.values()
            measured, self.counts_until = None, math.inf
            if self._others:
                measured = Measured(at=now, cores_of=self.real)
                held = (until for job in jobs if (until := job.held_until()) and until > now)
                self.counts_until = min(held, default=math.inf)
            used = used_cores(jobs, measured, now)
            free = free_cores(self.cores, self.setup.max_cpu_utilization, len(self.running), used)
            self._left = (free, rest(self.pod.rules, jobs, None, now))
            self.scores.clear()
            self._bidders.clear()
        return self._left

    def admits(self, need: Need, now: float) -> bool:
        """Whether it takes a job that needs so much."""
        available, left = self.left(now)
        return available >= need.cores and left.fits(need)

    def take(self, job: Job, real_cores: float) -> None:
        """Run a job."""
        self.counts_until = -math.inf
        self.running[job.egress_id] = job
        self.real[job.egress_id] = real_cores
        self._others += real_cores != job.cores

    def end(self, egress_id: str) -> None:
        """A job is over."""
        self.counts_until = -math.inf
        self._others -= self.real.pop(egress_id) != self.running.pop(egress_id).cores

    def load(self) -> Load:
        """What its metrics say."""
        return Load(jobs=len(self.running), cpu_load=sum(self.real.values()) / self.cores)

    def bidder(self, need: Need, now: float) -> Bidder:
        """It, as upstream's auction sees it."""
        available, left = self.left(now)
        bidder = self._bidders.get(need.kind)
        if bidder is None:
            bidder = self._bidders[need.kind] = Bidder(
                cores=self.cores,
                available_cores=available,
                idle=not self.running,
                pending=0,
                disabled=not left.fits(need),
            )
        pending = self.pending.count(now)
        return replace(bidder, pending=pending) if pending else bidder


def fleet(setup: Setup) -> list[SimulatedPod]:
    """The pods of a simulation, all idle."""
    width = len(str(max(setup.pods - 1, 0)))
    names = [f"pod-{number:0{width}}" for number in range(setup.pods)]
    rules = Rules(setup.memory, setup.max_pulse_clients)
    needs = _needs(setup)
    return [SimulatedPod(Pod(name, name, setup.cpu, rules), setup, needs) for name in names]


def _needs(setup: Setup) -> dict[RequestType, Need]:
    memory, costs = setup.memory, setup.costs
    return {
        kind: Need(kind, costs.of(kind), memory.of(kind) if memory else 0.0) for kind in RequestType
    }


def entry(number: int, job: TraceJob, pod: Pod, cores: float, now: float) -> Job:
    """A job of the trace that costs so many CPUs, as the ledger and the pods write it down."""
    return Job(
        egress_id=f"EG_{number}",
        fleet="simulated",
        worker=pod.name,
        worker_uid=pod.uid,
        cluster_id=pod.name,
        kind=job.kind,
        cores=cores,
        token="",
        claimed_at=now,
    )

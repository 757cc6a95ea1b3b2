"""Simulated pods: what they really run, and what they admit by their own count. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from mediafleet_common.api.egress.costs import CpuCost
from mediafleet_common.probes.load import Load
from mediafleet_scheduler.core.egress.accounting.accounts import (
    Job,
    Measured,
    free_cores,
    used_cores,
)
from mediafleet_scheduler.core.egress.accounting.ledger import Pod
from mediafleet_scheduler.core.egress.accounting.resources import Need, Rules, rest
from mediafleet_scheduler.core.egress.placement.affinity import Bidder, PendingBids
from mediafleet_scheduler.simulate.setup import Setup
from mediafleet_scheduler.simulate.traces import TraceJob


@dataclass(slots=True)
class SimulatedPod:
    """A pod that knows exactly what each of its jobs uses, as a stock one does."""

    pod: Pod
    setup: Setup
    running: dict[str, Job] = field(default_factory=dict)
    real: dict[str, float] = field(default_factory=dict)
    """CPUs that each job really uses."""
    pending: PendingBids = field(default_factory=PendingBids)

    @property
    def cores(self) -> float:
        """CPUs it has."""
        return self.setup.cpu

    def available(self, now: float) -> float:
        """CPUs that the next job may take."""
        exact = Measured(at=now, cores_of=self.real)
        used = used_cores(self.running.values(), exact, now)
        return free_cores(self.cores, self.setup.max_cpu_utilization, len(self.running), used)

    def admits(self, need: Need, now: float) -> bool:
        """Whether it takes a job that needs so much."""
        left = rest(self.pod.rules, self.running.values(), None, now)
        return self.available(now) >= need.cores and left.fits(need)

    def take(self, job: Job, real_cores: float) -> None:
        """Run a job."""
        self.running[job.egress_id] = job
        self.real[job.egress_id] = real_cores

    def end(self, egress_id: str) -> None:
        """A job is over."""
        del self.running[egress_id]
        del self.real[egress_id]

    def load(self) -> Load:
        """What its metrics say."""
        return Load(jobs=len(self.running), cpu_load=sum(self.real.values()) / self.cores)

    def bidder(self, need: Need, now: float) -> Bidder:
        """It, as upstream's auction sees it."""
        left = rest(self.pod.rules, self.running.values(), None, now)
        return Bidder(
            cores=self.cores,
            available_cores=self.available(now),
            idle=not self.running,
            pending=self.pending.count(now),
            disabled=not left.fits(need),
        )


def fleet(setup: Setup) -> list[SimulatedPod]:
    """The pods of a simulation, all idle."""
    width = len(str(max(setup.pods - 1, 0)))
    names = [f"pod-{number:0{width}}" for number in range(setup.pods)]
    rules = Rules(max_pulse_clients=setup.max_pulse_clients)
    return [SimulatedPod(Pod(name, name, setup.cpu, rules), setup) for name in names]


def entry(number: int, job: TraceJob, pod: Pod, costs: CpuCost, now: float) -> Job:
    """A job of the trace, as the ledger and the pods write it down."""
    return Job(
        egress_id=f"EG_{number}",
        fleet="simulated",
        worker=pod.name,
        worker_uid=pod.uid,
        cluster_id=pod.name,
        kind=job.kind,
        cores=costs.of(job.kind),
        token="",
        claimed_at=now,
    )


def real_cores(job: TraceJob, costs: CpuCost) -> float:
    """CPUs that a job really uses."""
    return costs.of(job.kind) if job.real_cores is None else job.real_cores

"""How much CPU of a pod is taken, counted as the pod itself counts when it admits a job. Pure.

A pod that runs nothing may be filled to all its CPUs; a busy one to `max_cpu_utilization`. A job
counts with the larger of its cost and what it was measured to use until it is 15 s old, and with
what it was measured to use afterwards. The pod measures each of its processes; we are told the CPU
load of the whole pod and share it out among its jobs by their costs.

Source: livekit/egress pkg/stats/monitor.go (getCPUUsageLocked, AcceptRequest).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from mediafleet_common.api.egress.costs import CpuCost, RequestType
from mediafleet_common.probes.load import Load

HOLD_SECONDS: Final = 15.0
"""How long a new job counts with its whole cost."""

_TYPES: Final[Mapping[str, RequestType]] = {
    **{kind.value: kind for kind in RequestType},
    "template": RequestType.ROOM_COMPOSITE,
    "media": RequestType.PARTICIPANT,
}
"""The `type` label of `livekit_egress_requests` (livekit/egress pkg/types)."""


class Job(NamedTuple):
    """A job that was given to a pod: pending until the pod has said yes, then started.

    Times are Unix seconds. A tuple, since several are made for each start: a frozen dataclass of as
    many fields takes five times as long.
    """

    egress_id: str
    fleet: str
    """Key of the fleet."""
    worker: str
    """Name of the pod."""
    worker_uid: str
    cluster_id: str
    kind: RequestType
    cores: float
    """What it costs by the fleet's table."""
    token: str
    """Of the try that claimed the place; tells a retry of the same try from another one."""
    claimed_at: float
    started_at: float | None = None
    server_id: str | None = None
    """psrpc server id of the pod, known once it has answered."""
    room: str = ""
    """Its room; empty when it has none."""
    lines: int | None = None
    """Shorter side of its picture in pixels; `None`: it has none, or that is not known."""
    io_client: str | None = None
    """The psrpc client by which its pod tells livekit-server of it, once that is known."""

    def held_until(self) -> float | None:
        """When it stops counting with its whole cost; `None` while that is not known."""
        return None if self.started_at is None else self.started_at + HOLD_SECONDS


class Closed(StrEnum):
    """Why a pod takes no job, by its own word."""

    DISABLED = "disabled"
    """After an internal error, or while livekit-server takes no update."""
    TERMINATING = "terminating"
    """It was sent SIGTERM."""


def closed(load: Load) -> Closed | None:
    """Why a pod takes no job; `None`: it takes some, or does not say."""
    if load.terminating:
        return Closed.TERMINATING
    return Closed.DISABLED if load.disabled else None


@dataclass(frozen=True, slots=True)
class Measured:
    """What a pod said of itself, shared out among its jobs."""

    at: float
    """Unix time of the measurement."""
    cores_of: Mapping[str, float] = field(default_factory=dict)
    """By egress id, what each job that ran then used."""
    foreign_jobs: int = 0
    """Jobs that the pod has and the ledger has not, in this measurement and the one before: a job
    that has just ended is still counted by the pod for a moment."""
    foreign_cores: float = 0.0
    """What those use."""
    excess: int = 0
    """Jobs that the pod has and the ledger has not, in this measurement alone."""
    memory_gb: float | None = None
    """What all its jobs use."""
    pulse_clients: float | None = None
    closed: Closed | None = None


def share_out(
    load: Load,
    jobs: Iterable[Job],
    pod_cores: float | None,
    costs: CpuCost,
    before: Measured | None,
    at: float,
) -> Measured:
    """A pod's load shared out among the jobs that the ledger knows there, and the others."""
    jobs = tuple(jobs)
    excess = max(0, (load.jobs or 0) - len(jobs))
    foreign = _foreign(load, excess if before is None else min(excess, before.excess), costs)
    share = None
    total = sum(job.cores for job in jobs) + sum(foreign)
    if load.cpu_load is not None and pod_cores is not None and total > 0:
        share = load.cpu_load * pod_cores / total
    return Measured(
        at=at,
        cores_of={} if share is None else {job.egress_id: job.cores * share for job in jobs},
        foreign_jobs=len(foreign),
        foreign_cores=sum(foreign) * (1 if share is None else share),
        excess=excess,
        closed=closed(load),
    )


def _foreign(load: Load, count: int, costs: CpuCost) -> list[float]:
    """What so many jobs of a pod may cost: the dearest ones that it tells of."""
    costs_known = [
        costs.of(_TYPES[name])
        for name, jobs in load.jobs_by_type.items()
        for _ in range(jobs)
        if name in _TYPES
    ]
    costs_known.sort(reverse=True)
    dearest = max(costs.of(kind) for kind in RequestType)
    return (costs_known + [dearest] * count)[:count]


def used_cores(jobs: Iterable[Job], measured: Measured | None, now: float) -> float:
    """CPUs that a busy pod counts as taken."""
    if measured is None:
        return sum([job.cores for job in jobs])
    return measured.foreign_cores + sum(job_cores(job, measured, now) for job in jobs)


def job_cores(job: Job, measured: Measured | None, now: float) -> float:
    """CPUs that a busy pod counts a job with."""
    seen = measured.cores_of.get(job.egress_id) if measured else None
    if seen is None:
        return job.cores
    until = job.held_until()
    held = until is None or now < until
    return max(job.cores, seen) if held else seen


def free_cores(pod_cores: float, max_utilization: float, jobs: int, used: float) -> float:
    """CPUs that the next job may take of a pod that runs so many jobs."""
    if jobs == 0:
        return pod_cores
    return pod_cores * max_utilization - used

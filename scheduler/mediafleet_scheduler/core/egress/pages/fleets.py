"""Fleets, their pods and the newest placements, as the desk's page shows them. Pure."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from mediafleet_common.api.names import PodState
from mediafleet_common.reports.pages.fleets import OTHER, FleetShown, PlacementShown, PodShown
from mediafleet_scheduler.core.egress.accounting.accounts import Job, Measured, job_cores
from mediafleet_scheduler.core.egress.accounting.ledger import Account, Ledger
from mediafleet_scheduler.core.egress.capacity import account_of
from mediafleet_scheduler.core.egress.placement.explanation import CLOSED
from mediafleet_scheduler.core.egress.queue import of_fleet
from mediafleet_scheduler.core.egress.views import Fleet, Worker

MOST_PLACEMENTS: Final = 50
_DIGITS: Final = 2
"""Of CPUs: load is never still, and a page that tells each thousandth is told anew all the time."""
_FAILED: Final = "it failed what it was given, and gets nothing for a while"


def fleet_shown(
    fleet: Fleet,
    ledger: Ledger,
    now: float,
    left_out: Collection[str],
    unconfirmed: Mapping[str, int | None] | None = None,
) -> FleetShown:
    """A fleet by the ledger; `left_out` are the uids of pods that are given nothing for a while."""
    waiting = of_fleet(ledger.waiting.values(), fleet.key, now)
    queued = Counter(each.kind.value for each in waiting)
    return FleetShown(
        namespace=fleet.namespace,
        name=fleet.name,
        mode=fleet.placement.mode,
        queued=dict(sorted(queued.items())),
        unconfirmed=dict(unconfirmed or {}),
        pods=[_pod(fleet, each, ledger, now, each.uid in left_out) for each in fleet.workers],
    )


def fleet_unknown(fleet: Fleet, why: str) -> FleetShown:
    """A fleet whose ledger cannot be read: its pods are there, and no number of them is known."""
    return FleetShown(
        namespace=fleet.namespace,
        name=fleet.name,
        mode=fleet.placement.mode,
        why_unknown=why,
        pods=[
            PodShown(name=each.name, state=each.state, cpus=each.cpu_cores, free=None)
            for each in fleet.workers
        ],
    )


def newest(jobs: Iterable[Job]) -> list[PlacementShown]:
    """The newest placements of jobs that run or are being started, the last one first."""
    found = heapq.nlargest(MOST_PLACEMENTS, jobs, key=lambda job: (job.claimed_at, job.egress_id))
    return [
        PlacementShown(
            at=job.claimed_at,
            egress_id=job.egress_id,
            type=job.kind,
            fleet=job.fleet.removeprefix("/"),
            pod=job.worker,
            started=job.started_at is not None,
        )
        for job in found
    ]


def _pod(fleet: Fleet, worker: Worker, ledger: Ledger, now: float, failed: bool) -> PodShown:
    account = account_of(fleet, worker, ledger, now)
    measured = ledger.measured(worker.uid) if account.measured else None
    jobs, used = _jobs(ledger.on(worker.uid).values(), measured, now)
    free = account.free_cores
    return PodShown(
        name=worker.name,
        state=worker.state,
        cpus=worker.cpu_cores,
        free=None if free is None else round(max(0.0, free), _DIGITS),
        jobs=jobs,
        used=used,
        load_known=account.measured,
        why=_why(worker, account, failed),
    )


def _jobs(
    jobs: Iterable[Job], measured: Measured | None, now: float
) -> tuple[dict[str, int], dict[str, float]]:
    """How many there are of each type, and CPUs that they count with."""
    counts: Counter[str] = Counter()
    cores: defaultdict[str, float] = defaultdict(float)
    for job in jobs:
        counts[job.kind.value] += 1
        cores[job.kind.value] += job_cores(job, measured, now)
    if measured is not None and measured.foreign_jobs:
        counts[OTHER] = measured.foreign_jobs
        cores[OTHER] = measured.foreign_cores
    used = {kind: round(cores[kind], _DIGITS) for kind in sorted(cores)}
    return dict(sorted(counts.items())), used


def _why(worker: Worker, account: Account, failed: bool) -> str | None:
    if worker.state is PodState.DRAINING:
        reason = f": {worker.drain_reason.value}" if worker.drain_reason else ""
        return f"it drains{reason}"
    if worker.state is not PodState.READY:
        return "it is not Ready"
    if failed:
        return _FAILED
    if account.closed is not None:
        return CLOSED[account.closed]
    return None

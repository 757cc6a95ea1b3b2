"""Where a job is, from what the ledger knows of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from mediafleet_common.reports.job import JobExplained, JobState
from mediafleet_scheduler.core.egress.queue import Waiting
from mediafleet_scheduler.egress.ledger.records import Record
from mediafleet_scheduler.egress.ledger.store import Claim, Claimed


def explained(
    egress_id: str, found: Claimed | None, waiting: Mapping[str, Waiting]
) -> JobExplained | None:
    """`None`: nothing is known of it."""
    if found is not None and found.existing is not None:
        return _placed(found.status, found.existing)
    entry = waiting.get(egress_id)
    if entry is None:
        return None
    return JobExplained(
        id=egress_id,
        state=JobState.WAITING,
        fleet=entry.fleet.lstrip("/"),
        type=entry.kind,
        cores=entry.cores,
        since=entry.since,
    )


def _placed(status: Claim, record: Record) -> JobExplained:
    job = record.job
    state = JobState.STARTING if job.started_at is None else JobState.RUNNING
    return JobExplained(
        id=job.egress_id,
        state=JobState.ENDED if status is Claim.ENDED else state,
        fleet=job.fleet.lstrip("/"),
        type=job.kind,
        cores=job.cores,
        since=job.claimed_at,
        started=job.started_at,
        pod=job.worker,
        error=None if record.error is None else record.error.message,
    )

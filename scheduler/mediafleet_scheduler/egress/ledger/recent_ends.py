"""The ends that the ledger's log still holds: what a desk that has just come can know of them.

A desk hears of ends as they happen. One that begins learns from Redis which jobs ended before, so
that it knows at once whether livekit-server has been told of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.egress.ledger.records import UnreadableRecordError, from_json


@dataclass(frozen=True, slots=True)
class RecentEnds:
    """What the log tells."""

    jobs: tuple[Job, ...] = ()
    """Jobs that had started and are over."""
    since: float | None = None
    """From this Unix time on all that ended are among them; `None`: that is not known."""


def recent_ends(
    state: Mapping[str, str], ends: Sequence[str], first_claim: str, first_change: str
) -> RecentEnds:
    """What the log tells, as `scripts.OPEN` gives it."""
    jobs, complete = [], True
    for text in ends:
        job = _job(text)
        complete = complete and job is not None
        if job is not None and job.started_at is not None:
            jobs.append(job)
    return RecentEnds(tuple(jobs), _since(state, first_claim, first_change) if complete else None)


def _since(state: Mapping[str, str], first_claim: str, first_change: str) -> float | None:
    made = float(state["made"]) if "made" in state else None
    if made is not None and first_change in ("", state.get("first")):
        return made
    # The log has been cut off at its far end.
    claim = _job(first_claim)
    return max(claim.claimed_at, made or 0.0) if claim is not None else None


def _job(text: str) -> Job | None:
    try:
        return from_json(text).job
    except UnreadableRecordError:
        return None  # An older desk has written it.

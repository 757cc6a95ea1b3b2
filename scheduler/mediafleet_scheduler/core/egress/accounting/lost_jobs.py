"""What to make of a job that is in the ledger, after the pods were asked what they run. Pure.

Ends are told over the bus at most once, pods die, and desks die with claims in hand. A job is
given up only on evidence: its own server answered without it, or for a while now its pod is away,
has been restarted, or every pod answered and none has it. A pod that keeps silent proves nothing,
unless nobody listens on its metrics port either.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from mediafleet_scheduler.core.egress.accounting.accounts import Job


class Verdict(StrEnum):
    """What is to be done about a job."""

    LEAVE = "leave"
    SUSPECT = "suspect"
    """Leave it this time, and remember since when there is evidence against it."""
    CONFIRM = "confirm"
    """It was only claimed and it runs: note that."""
    UNCONFIRMED = "unconfirmed"
    """End it: it was claimed long ago, runs nowhere, and nobody works on it."""
    MISSED = "missed"
    """End it: its end was not heard."""
    LOST = "lost"
    """End it: its pod is gone, or began anew."""

    @property
    def ends(self) -> bool:
        """Whether the job is over."""
        return self in (Verdict.UNCONFIRMED, Verdict.MISSED, Verdict.LOST)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait before a job is given up."""

    young_seconds: float = 10.0
    """A job as young may be missing from a listing that was under way."""
    unconfirmed_seconds: float = 120.0
    """A claim so old that no pod lists, and that nobody works on, is given up."""
    suspect_seconds: float = 30.0
    """There is evidence against it for so long: a pod may be silent for a while."""
    gone_seconds: float = 8.0
    """The same, when its pod is gone, not Ready, or another than it was."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was learnt of one job."""

    now: float
    """Unix time at which the pods were asked."""
    runs_on: str | None
    """The server that said it runs there."""
    servers: Collection[str]
    """The servers that answered."""
    all_answered: bool
    """Whether no pod was silent."""
    pod_is_there: bool
    pod_serves: bool
    """Whether it is there and Ready, or draining."""
    server_of_pod: str | None
    """The server id that its pod answered with last, to any request."""
    suspected_since: float | None
    process_is_new: bool = False
    """Whether its pod's metrics are those of another process than the one it started in."""
    unreachable: bool = False
    """Whether nobody listens on its pod's metrics port."""


def judge(job: Job, evidence: Evidence, patience: Patience, starts_within: float) -> Verdict:
    """What to do about a job, which starts or fails within so many seconds of its claim."""
    if evidence.runs_on is not None:
        starting = evidence.now - job.claimed_at < starts_within
        return Verdict.LEAVE if starting or job.started_at is not None else Verdict.CONFIRM
    if job.started_at is None:
        old = evidence.now - job.claimed_at > patience.unconfirmed_seconds
        return Verdict.UNCONFIRMED if old else Verdict.LEAVE
    if evidence.now - job.started_at <= patience.young_seconds:
        return Verdict.LEAVE
    if job.server_id in evidence.servers:
        return Verdict.MISSED
    restarted = evidence.process_is_new or evidence.server_of_pod not in (None, job.server_id)
    silent = not evidence.all_answered and not evidence.unreachable
    if evidence.pod_is_there and silent and not restarted:
        return Verdict.LEAVE
    since = evidence.suspected_since
    wait = patience.gone_seconds
    if evidence.pod_serves and not restarted:
        wait = patience.suspect_seconds
    if since is not None and evidence.now - since >= wait:
        return Verdict.LOST
    return Verdict.SUSPECT

"""Judges deletions against the jobs that the workers say they had. Pure.

All times are Unix seconds; everything runs on one machine, so there is one clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Job:
    """One job or session, by the log of the worker that had it."""

    job_id: str
    pod_uid: str
    started_at: float
    ended_at: float | None = None
    """When it ended by itself or was stopped by its client; `None`: the worker never said so."""

    def runs_at(self, when: float) -> bool:
        """Whether the worker had it at that time."""
        return self.started_at <= when and (self.ended_at is None or when < self.ended_at)


@dataclass(frozen=True, slots=True)
class Deletion:
    """The API server was asked to delete a pod."""

    pod_uid: str
    pod: str
    fleet: str
    at: float
    drain_started: float | None
    """What the pod's annotation said; `None`: it was not draining."""
    was_listed: bool
    """Whether desks had ever been told to give it work."""
    preconditioned: bool | None = None
    """Whether the request named the uid; `None` where that was not recorded."""


class Fault(StrEnum):
    """What may not happen."""

    BUSY = "deleted with a job before its drain time-out"
    LOST = "a job that never ended"
    NOT_DRAINED = "deleted without a drain, after it had been listed"
    UNCONDITIONAL = "deleted without naming its uid"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that may not happen, and did."""

    fault: Fault
    pod: str
    detail: str

    def __str__(self) -> str:
        return f"{self.pod}: {self.fault.value} ({self.detail})"


def judge(
    deletions: Iterable[Deletion], jobs: Iterable[Job], drain_timeout_seconds: float
) -> list[Violation]:
    """Everything that may not happen and did, in the order of the deletions.

    To be asked when every job has had the time to end.
    """
    by_pod: dict[str, list[Job]] = {}
    for job in jobs:
        by_pod.setdefault(job.pod_uid, []).append(job)
    names = {}
    violations: list[Violation] = []
    for deletion in sorted(deletions, key=lambda each: each.at):
        names[deletion.pod_uid] = deletion.pod
        violations += _of_deletion(deletion, by_pod, drain_timeout_seconds)
    for uid, mine in by_pod.items():
        lost = [job.job_id for job in mine if job.ended_at is None]
        if lost:
            name = names.get(uid, uid)
            violations.append(Violation(Fault.LOST, name, ", ".join(sorted(lost))))
    return violations


def waited_for(deletions: Iterable[Deletion], jobs: Iterable[Job]) -> set[str]:
    """Uids of the deleted pods that had a job when their drain began, or got one after."""
    drains = {
        each.pod_uid: each.drain_started for each in deletions if each.drain_started is not None
    }
    return {
        job.pod_uid
        for job in jobs
        if job.pod_uid in drains and (job.ended_at is None or job.ended_at > drains[job.pod_uid])
    }


def _of_deletion(
    deletion: Deletion, jobs: Mapping[str, list[Job]], drain_timeout_seconds: float
) -> list[Violation]:
    found = []
    running = [job for job in jobs.get(deletion.pod_uid, ()) if job.runs_at(deletion.at)]
    drain = deletion.drain_started
    timed_out = drain is not None and deletion.at >= drain + drain_timeout_seconds
    if running and not timed_out:
        since = "not draining" if drain is None else f"{deletion.at - drain:.2f} s into the drain"
        ids = ", ".join(sorted(job.job_id for job in running))
        found.append(Violation(Fault.BUSY, deletion.pod, f"{since}, with {ids}"))
    if drain is None and deletion.was_listed:
        found.append(Violation(Fault.NOT_DRAINED, deletion.pod, f"at {deletion.at:.2f}"))
    if deletion.preconditioned is False:
        found.append(Violation(Fault.UNCONDITIONAL, deletion.pod, f"at {deletion.at:.2f}"))
    return found

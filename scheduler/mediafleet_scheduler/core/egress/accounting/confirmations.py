"""Jobs that are over by their pod's word, and not yet by livekit-server's. Pure; Unix time.

A pod says that it is idle before its last update was delivered, and what it publishes on the bus is
not yet taken by the server: a pod that ends then leaves its record active for ever (seen on
livekit/egress 1.14.1). So whoever deletes a pod waits until IOInfo.GetEgress says that its jobs
are over. Only pods that drain are asked about, and looked at: the others may have ended tens of
thousands of jobs lately.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from mediafleet_common.reports.merged_config import UPDATE_SECONDS
from mediafleet_scheduler.core.egress.accounting.accounts import Job

FIRST_PAUSE_SECONDS: Final = 0.25
MAX_PAUSE_SECONDS: Final = 5.0
"""Pauses between two questions about one job."""
MAX_AT_ONCE: Final = 32


@dataclass(slots=True)
class _Open:
    """A job that livekit-server has to confirm."""

    worker_uid: str
    until: float
    """When it counts no more, unless livekit-server was asked before."""
    due: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    ended: bool | None = None
    """What livekit-server said last; `None`: it was not asked, or did not answer."""
    asked: bool = False


class Confirmations:
    """What one desk knows of ends."""

    def __init__(self, since: float, pods: Collection[str] = ()) -> None:
        """All ends since that Unix time are known; of earlier ones, pods with these uids may have
        some."""
        self._known_from = since + UPDATE_SECONDS
        self._older = frozenset(pods)
        self._open: dict[str, _Open] = {}
        """By egress id, the oldest first."""
        self._on: dict[str, dict[str, _Open]] = {}
        """The same by uid of their pod."""

    def over(self, job: Job, now: float) -> None:
        """A job that had started is over, as far as its pod goes."""
        each = self._open.get(job.egress_id)
        if each is None:
            each = self._open[job.egress_id] = _Open(job.worker_uid, now + UPDATE_SECONDS)
            self._on.setdefault(job.worker_uid, {})[job.egress_id] = each
        each.due, each.pause = now, FIRST_PAUSE_SECONDS

    def watch(self, jobs: Collection[Job], now: float) -> None:
        """Jobs on a pod that drains: their ends may have been missed."""
        for job in jobs:
            if job.started_at is not None and job.egress_id not in self._open:
                self.over(job, now)

    def due(self, draining: Collection[str], now: float) -> list[str]:
        """Ids to ask livekit-server about; `draining` are uids of pods."""
        self._forget_old(now)
        due = [
            (each.until, egress_id)
            for uid in draining
            for egress_id, each in self._on.get(uid, {}).items()
            if each.due <= now
        ]
        return [egress_id for _, egress_id in sorted(due)[:MAX_AT_ONCE]]

    def answered(self, egress_id: str, ended: bool | None, now: float) -> None:
        """livekit-server says whether a job is over; `None`: it did not answer."""
        each = self._open.get(egress_id)
        if each is None:
            return
        if ended:
            self._forget(egress_id)
            return
        each.asked, each.ended = True, ended
        each.due = now + each.pause
        each.pause = min(2 * each.pause, MAX_PAUSE_SECONDS)

    def keep_only(self, uids: Collection[str]) -> None:
        """Only these pods are there."""
        for uid in [each for each in self._on if each not in uids]:
            for egress_id in tuple(self._on[uid]):
                self._forget(egress_id)

    def _forget_old(self, now: float) -> None:
        old = []
        for egress_id, each in self._open.items():
            if each.until > now:
                break
            if not each.asked:
                old.append(egress_id)
        for egress_id in old:
            self._forget(egress_id)

    def _forget(self, egress_id: str) -> None:
        uid = self._open.pop(egress_id).worker_uid
        del self._on[uid][egress_id]
        if not self._on[uid]:
            del self._on[uid]

    def _known(self, worker_uid: str, now: float) -> bool:
        """Whether no end of a pod may be on its way that this desk has not heard of."""
        return now >= self._known_from or worker_uid not in self._older

    def on(self, worker_uid: str, running: Collection[str], now: float) -> int | None:
        """Jobs of a pod that are not confirmed, with those that run there as far as is known;
        `None`: livekit-server does not say, or this desk is too young to know."""
        if not self._known(worker_uid, now):
            return None
        mine = self._on.get(worker_uid, {})
        if any(each.ended is None for each in mine.values()):
            return None
        return len(mine.keys() | set(running))

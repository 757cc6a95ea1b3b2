"""Whether a pod's process is still the one that took a job, by its metrics. Pure; Unix time.

A worker has a new `node_id` at each start, which every metric of it carries: one that was killed
and started again inside its pod shows so before it has taken a new job. One whose metrics port
refuses connections runs no more, as far as it goes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mediafleet_scheduler.core.egress.accounting.accounts import Job


@dataclass(slots=True)
class _Life:
    node_id: str = ""
    seen_at: float = 0.0
    """When it was last read under this id."""
    before_until: float | None = None
    """When it was last read under another one; `None`: never."""
    unreachable: bool = False
    """Whether nobody listened on its metrics port the last time."""


class Lives:
    """What is known of each pod's process, by uid."""

    def __init__(self) -> None:
        self._lives: dict[str, _Life] = {}

    def read(self, uid: str, node_id: str | None, at: float) -> bool:
        """A pod told its load; whether its process has begun anew since the last time."""
        life = self._lives.setdefault(uid, _Life())
        life.unreachable = False
        if not node_id:
            return False
        anew = bool(life.node_id) and node_id != life.node_id
        if anew:
            life.before_until = life.seen_at
        life.node_id, life.seen_at = node_id, at
        return anew

    def unreachable(self, uid: str) -> None:
        """Nobody listens on a pod's metrics port."""
        self._lives.setdefault(uid, _Life()).unreachable = True

    def is_unreachable(self, uid: str) -> bool:
        """Whether nobody listened there the last time."""
        life = self._lives.get(uid)
        return life is not None and life.unreachable

    def ended_with(self, job: Job) -> bool:
        """Whether the process that a job had started in is gone."""
        life = self._lives.get(job.worker_uid)
        if life is None or life.before_until is None or job.started_at is None:
            return False
        return job.started_at <= life.before_until

    def keep_only(self, uids: Collection[str]) -> None:
        """Only these pods are there."""
        self._lives = {uid: life for uid, life in self._lives.items() if uid in uids}

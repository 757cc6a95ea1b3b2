"""The local copy of the ledger in Redis: what its log says is carried out here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.queue import Waiting
from mediafleet_scheduler.egress.ledger.records import (
    Record,
    UnreadableRecordError,
    from_json,
    to_json,
    waiting_from_json,
)

_MAX_OWN: Final = 1000
_MAX_OVER: Final = 20_000

_log: Final = logging.getLogger(__name__)


class LocalCopy:
    """The records of one ledger; `ledger` is kept in step with them."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger: Final = ledger
        self.records: dict[str, Record] = {}
        """The record of every job that is pending or started, by egress id."""
        self.versions: dict[str, str] = {}
        """How many places of a fleet were ever claimed, by fleet."""
        self.on_over: Callable[[Job], None] = lambda job: None
        """Receives each job that had started and is over, whoever found out."""
        self.on_told_end: Callable[[str], None] = lambda egress_id: None
        """Receives each egress id whose end the log tells."""
        self._servers: dict[str, tuple[float, str]] = {}
        self._own: dict[str, Record] = {}
        self._over: dict[str, None] = {}
        # Jobs that are gone while Redis has not heard of it: token of the attempt, empty for any.
        self._gone: dict[str, str] = {}

    def knows(self, egress_id: str) -> bool:
        """Whether an id was used lately, as far as this desk has seen."""
        return egress_id in self.records or egress_id in self._over

    def replace_all(
        self, versions: dict[str, str], records: Iterable[str], waiting: Iterable[str]
    ) -> None:
        """Take over a whole ledger."""
        self.versions = versions
        self.records = {}
        for text in records:
            self._remember(text)
        self.ledger.replace_all(
            (record.job for record in self.records.values()),
            (entry for text in waiting if (entry := _waiting(text)) is not None),
        )

    def apply(self, operation: str, egress_id: str, fleet: str, record: str) -> None:
        """Take over one change of the log."""
        if operation == "end":
            self.on_told_end(egress_id)
            self.records.pop(egress_id, None)
            self._drop(egress_id)
            if record:
                self._over[egress_id] = None
                if len(self._over) > _MAX_OVER:
                    del self._over[next(iter(self._over))]
            return
        if operation == "leave":
            self.ledger.give_up(egress_id)
            return
        if operation == "wait":
            entry = _waiting(record)
            if entry is not None:
                self.ledger.wait(entry)
            return
        if operation == "put":
            self.versions[fleet] = str(int(self.versions.get(fleet, "0")) + 1)
        self._remember(record)
        if operation == "put" and self.ledger.waiting:
            self._took_turn(egress_id)

    def text(self, record: Record) -> str:
        """A record as text, which will come back in the log and need not be read then."""
        text = to_json(record)
        self._own[text] = record
        if len(self._own) > _MAX_OWN:
            del self._own[next(iter(self._own))]
        return text

    def forget(self, egress_id: str, token: str) -> None:
        """A job of an attempt (empty token: of any) is gone, whatever older news Redis has."""
        self._gone[egress_id] = token
        record = self.records.get(egress_id)
        if record is not None and token in ("", record.job.token):
            del self.records[egress_id]
        job = self.ledger.jobs.get(egress_id)
        if job is not None and token in ("", job.token):
            self._drop(egress_id)

    def forgotten(self, egress_ids: Iterable[str]) -> None:
        """Redis has heard that these jobs are gone."""
        for egress_id in egress_ids:
            self._gone.pop(egress_id, None)

    def server_of(self, worker_uid: str) -> str | None:
        """The psrpc server id of a pod, once it has taken a job: new whenever it starts anew."""
        known = self._servers.get(worker_uid)
        return known[1] if known else None

    def keep_only(self, worker_uids: Iterable[str]) -> None:
        """Only these pods are there."""
        for uid in self._servers.keys() - set(worker_uids):
            del self._servers[uid]

    def _took_turn(self, egress_id: str) -> None:
        job, entry = self.ledger.jobs.get(egress_id), self.ledger.waiting.get(egress_id)
        if job is not None:
            self.ledger.took_turn(entry.flow if entry else job.room or egress_id, job.claimed_at)
        self.ledger.leave(egress_id)

    def _remember(self, text: str) -> None:
        try:
            record = self._own.pop(text, None) or from_json(text)
        except UnreadableRecordError as error:
            _log.warning("a record in Redis makes no sense: %s", error)
            return
        job = record.job
        if self._gone.get(job.egress_id) in ("", job.token):
            return
        self.records[job.egress_id] = record
        self.ledger.put(job)
        known = self._servers.get(job.worker_uid)
        if job.server_id and job.started_at and (known is None or job.started_at >= known[0]):
            self._servers[job.worker_uid] = (job.started_at, job.server_id)

    def _drop(self, egress_id: str) -> None:
        job = self.ledger.drop(egress_id)
        if job is not None and job.started_at is not None:
            self.on_over(job)


def _waiting(text: str) -> Waiting | None:
    try:
        return waiting_from_json(text)
    except UnreadableRecordError as error:
        _log.warning("a record in Redis makes no sense: %s", error)
        return None

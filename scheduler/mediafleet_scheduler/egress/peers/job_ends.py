"""Job ends: pods tell livekit-server over the bus, and the desk listens in.

The desk only listens: it never claims these requests. Every desk hears of every end and counts it
at once, but the one that claimed the job writes it to the ledger; the others do so where it has not
after a while, as it may be gone. Source: livekit/egress pkg/info/io.go.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable

from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.egress.ledger.store import Note
from mediafleet_scheduler.egress.ledger.writer import LedgerWriter
from mediafleet_scheduler.egress.peers.answers import JobWord
from mediafleet_scheduler.egress.peers.job_info import JobInfos
from mediafleet_scheduler.psrpc.envelope import Request


class JobEnds:
    """Takes jobs out of the ledger when their pods say that they are over; calls `on_end` then."""

    def __init__(
        self,
        ledger: Ledger,
        ledger_writer: LedgerWriter,
        infos: JobInfos,
        on_end: Callable[[], None],
        others_seconds: float,
    ) -> None:
        """`others_seconds`: the end of another desk's job is written if the log does not tell it
        by then."""
        self._ledger = ledger
        self._ledger_writer = ledger_writer
        self._store = ledger_writer.store
        self._infos = infos
        self._on_end = on_end
        self._others_seconds = others_seconds
        self._left: collections.OrderedDict[str, tuple[float, Note]] = collections.OrderedDict()
        """Ends that are left to other desks, and until when (loop time), by egress id."""
        self._timer: asyncio.TimerHandle | None = None
        # Kept: to ask for it is a system call in Python 3.11.
        self._loop = asyncio.get_running_loop()
        self._store.copy.on_told_end = self._told

    def take(self, request: Request, word: JobWord) -> None:
        """A pod's word of a job, which `infos` has taken down before."""
        egress_id = word.egress_id
        job = self._ledger.jobs.get(egress_id)
        if not self._infos.ends(word, request.client_id, job):
            return
        if job is not None:
            self._ledger_writer.metrics.ends.labels("heard").inc()
        # Also one that is not known here: another desk may have claimed it a moment ago.
        note = self._store.ended(egress_id, token=job.token if job else "")
        if job is not None and self._store.is_own(job.token):
            self._ledger_writer.note(note)
        else:
            self._leave(egress_id, note)
        self._on_end()

    def close(self) -> None:
        """Leave the rest to others."""
        if self._timer is not None:
            self._timer.cancel()

    def _leave(self, egress_id: str, note: Note) -> None:
        self._left.pop(egress_id, None)
        self._left[egress_id] = (self._loop.time() + self._others_seconds, note)
        if self._timer is None:
            self._timer = self._loop.call_later(self._others_seconds, self._write_due)

    def _told(self, egress_id: str) -> None:
        if self._left.pop(egress_id, None) is not None:
            self._store.copy.forgotten((egress_id,))

    def _write_due(self) -> None:
        self._timer = None
        while self._left:
            egress_id, (due, note) = next(iter(self._left.items()))
            if due > self._loop.time():
                self._timer = self._loop.call_at(due, self._write_due)
                return
            del self._left[egress_id]
            self._ledger_writer.note(note)

"""Job ends: pods tell livekit-server over the bus, and the desk listens in.

The desk only listens: it never claims these requests. Source: livekit/egress pkg/info/io.go.
"""

from __future__ import annotations

from collections.abc import Callable

from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
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
    ) -> None:
        self._ledger = ledger
        self._ledger_writer = ledger_writer
        self._infos = infos
        self._on_end = on_end

    def take(self, request: Request, word: JobWord) -> None:
        """A pod's word of a job, which `infos` has taken down before."""
        job = self._ledger.jobs.get(word.egress_id)
        if not self._infos.ends(word, request.client_id, job):
            return
        if word.egress_id in self._ledger.jobs:
            self._ledger_writer.metrics.ends.labels("heard").inc()
        # Also one that is not known here: another desk may have claimed it a moment ago.
        token = job.token if job else ""
        note = self._ledger_writer.store.ended(word.egress_id, token=token)
        self._ledger_writer.note(note)
        self._on_end()

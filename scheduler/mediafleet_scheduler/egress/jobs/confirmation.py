"""Asks livekit-server whether the jobs of draining pods are over, so that none leaves too early."""

from __future__ import annotations

import asyncio
from typing import Final

from mediafleet_common.api.names import PodState
from mediafleet_common.clock import Clock
from mediafleet_scheduler.core.egress.accounting.confirmations import Confirmations
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.accounting.lost_jobs import Verdict
from mediafleet_scheduler.core.egress.views import Fleet
from mediafleet_scheduler.egress.ledger.store import Store
from mediafleet_scheduler.egress.ledger.writer import LedgerWriter
from mediafleet_scheduler.egress.peers.io_info import IoInfo, has_ended
from mediafleet_scheduler.egress.places.pods import Pods
from mediafleet_scheduler.psrpc.errors import PsrpcError

_LOOK_SECONDS: Final = 0.25
"""The shortest pause between two questions about a job; a look with none that is due is cheap."""


class Confirmer:
    """Follows the jobs of one Redis until livekit-server has taken their ends."""

    def __init__(
        self,
        pods: Pods,
        ledger: Ledger,
        store: Store,
        ledger_writer: LedgerWriter,
        io: IoInfo,
        clock: Clock,
    ) -> None:
        self._pods = pods
        self._ledger = ledger
        self._store = store
        self._ledger_writer = ledger_writer
        self._io = io
        self._clock = clock
        now, recent = clock.unix(), store.recent_ends
        since = now if recent.since is None else recent.since
        self._confirmations = Confirmations(since, pods.by_uid)
        for job in recent.jobs:
            self._confirmations.over(job, now)
        store.copy.on_over = lambda job: self._confirmations.over(job, clock.unix())

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._look()

    def unconfirmed(self, fleet: Fleet) -> dict[str, int | None]:
        """By name of each draining pod: jobs that may not be over for livekit-server; `None`:
        nobody knows."""
        now = self._clock.unix()
        return {
            each.name: self._confirmations.on(each.uid, self._ledger.on(each.uid).keys(), now)
            for each in fleet.workers
            if each.state is PodState.DRAINING
        }

    async def _look(self) -> None:
        now = self._clock.unix()
        by_uid = self._pods.by_uid
        self._confirmations.keep_only(by_uid)
        draining = {uid for uid, (_, each) in by_uid.items() if each.state is PodState.DRAINING}
        for uid in draining:
            self._confirmations.watch(self._ledger.on(uid).values(), now)
        due = self._confirmations.due(draining, now)
        if due:
            await asyncio.gather(*(self._ask(egress_id) for egress_id in due))

    async def _ask(self, egress_id: str) -> None:
        try:
            record = await self._io.record(egress_id)
        except PsrpcError:
            self._confirmations.answered(egress_id, None, self._clock.unix())
            return
        # Of what there is no record nothing can be left active.
        ended = record is None or has_ended(record)
        self._confirmations.answered(egress_id, ended, self._clock.unix())
        if record is not None and ended and egress_id in self._ledger.jobs:
            self._ledger_writer.metrics.ends.labels(Verdict.MISSED).inc()
            self._ledger_writer.note(self._store.ended(egress_id))

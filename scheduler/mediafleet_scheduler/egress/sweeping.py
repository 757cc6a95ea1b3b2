"""Put the ledger right where the bus was silent: missed ends, lost pods, claims of dead desks.

Pub/sub tells each thing at most once, so now and then the pods themselves are asked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import Final

from mediafleet_scheduler.core.accounts import Job
from mediafleet_scheduler.core.ledger import Ledger
from mediafleet_scheduler.egress.desk import Desk
from mediafleet_scheduler.egress.listing import Listing, list_active
from mediafleet_scheduler.egress.records import Record
from mediafleet_scheduler.egress.starting import Tools
from mediafleet_scheduler.egress.store import StoreError

_YOUNG_SECONDS: Final = 10.0
"""A job as young may be missing from a listing that was under way."""

_log: Final = logging.getLogger(__name__)


class Sweeper:
    """Compares the ledger with what other desks and the pods say."""

    def __init__(self, tools: Tools, ledger: Ledger, desk: Desk) -> None:
        self._tools = tools
        self._ledger = ledger
        self._desk = desk
        self._away_since: dict[str, float] = {}
        self._listed_at = 0.0

    async def run(self) -> None:
        """Sweep until cancelled."""
        settings = self._tools.settings
        while True:
            await asyncio.sleep(settings.sync_every_seconds)
            await self.sync()
            loop_now = asyncio.get_running_loop().time()
            if loop_now - self._listed_at >= settings.list_every_seconds:
                await self.ask_pods()

    async def sync(self) -> None:
        """Take over what other desks did."""
        try:
            await self._tools.store.sync()
        except StoreError as error:
            self._tools.metrics.ledger_errors.labels("sync").inc()
            _log.warning("%s", error)

    async def ask_pods(self) -> None:
        """Ask the pods what they run, and put right what differs."""
        tools, settings = self._tools, self._tools.settings
        asked_at = time.time()
        listing = await list_active(
            tools.client, len(tools.pods.by_uid), settings.list_wait_seconds, tools.metrics
        )
        self._listed_at = asyncio.get_running_loop().time()
        for job in tuple(self._ledger.jobs.values()):
            self._compare(job, listing, asked_at)
        answered = len(listing.by_server) >= len(tools.pods.by_uid)
        if answered and listing.ids <= self._ledger.jobs.keys():
            tools.pods.complete_until = self._listed_at + 3 * settings.list_every_seconds

    def _compare(self, job: Job, listing: Listing, asked_at: float) -> None:
        settings = self._tools.settings
        if self._desk.is_trying(job.egress_id):
            return
        server_id = listing.server_of(job.egress_id)
        if server_id is not None:
            self._away_since.pop(job.egress_id, None)
            if job.started_at is None:
                running = Record(replace(job, started_at=asked_at, server_id=server_id))
                self._tools.clerk.note(self._tools.store.started(running))
            return
        if job.started_at is None:
            if asked_at - job.claimed_at > settings.forget_pending_after_seconds:
                self._end(job.egress_id, "unconfirmed")
            return
        if job.server_id in listing.by_server and asked_at - job.started_at > _YOUNG_SECONDS:
            self._end(job.egress_id, "missed")
            return
        if job.worker_uid in self._tools.pods.by_uid:
            self._away_since.pop(job.egress_id, None)
            return
        since = self._away_since.setdefault(job.egress_id, asked_at)
        if asked_at - since >= settings.gone_after_seconds:
            self._end(job.egress_id, "lost")

    def _end(self, egress_id: str, how: str) -> None:
        self._away_since.pop(egress_id, None)
        self._tools.metrics.ends.labels(how).inc()
        _log.warning("%s is over (%s)", egress_id, how)
        self._tools.clerk.note(self._tools.store.ended(egress_id))

"""Writes the ledger behind the desk's back: nobody waits for it, and it is tried again."""

from __future__ import annotations

import asyncio
import collections
import logging
from typing import Final

from mediafleet_common.back_off import BackOff
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import LedgerTimes
from mediafleet_scheduler.egress.ledger.script_calls import StoreError
from mediafleet_scheduler.egress.ledger.store import Note, Store
from mediafleet_scheduler.psrpc.link import to_tick

_MAX_QUEUED: Final = 20_000
_BATCH: Final = 64
_GATHER_SECONDS: Final = 0.04
"""Notes of some moments are one write. What a crash loses here the next desk learns from pods."""
_FIRST_PAUSE_SECONDS: Final = 0.1

_log: Final = logging.getLogger(__name__)


class LedgerWriter:
    """Writes notes in the order they came, several at a time."""

    def __init__(
        self, store: Store, metrics: EgressMetrics, times: LedgerTimes | None = None
    ) -> None:
        self.store: Final = store
        self.metrics: Final = metrics
        self._times = times or LedgerTimes()
        self._notes: collections.deque[Note] = collections.deque()
        self._wanted = asyncio.Event()
        self._written = asyncio.Event()
        self._written.set()

    def note(self, note: Note) -> None:
        """Have something written; what is lost here is found again by asking the pods."""
        if len(self._notes) >= _MAX_QUEUED:
            self.metrics.ledger_errors.labels("write").inc()
            return
        self._notes.append(note)
        self._wanted.set()
        self._written.clear()

    async def run(self) -> None:
        """Write until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            await asyncio.sleep(to_tick(_GATHER_SECONDS, loop.time()))
            notes = [self._notes.popleft() for _ in range(min(len(self._notes), _BATCH))]
            await self._write(notes)
            if not self._notes:
                self._wanted.clear()
                self._written.set()

    async def finish(self) -> None:
        """Wait until all is written."""
        await self._written.wait()

    async def _write(self, notes: list[Note]) -> None:
        back_off = BackOff(_FIRST_PAUSE_SECONDS, self._times.max_write_pause_seconds)
        for _ in range(self._times.write_attempts):
            try:
                await self.store.write(notes)
            except StoreError as error:
                self.metrics.ledger_errors.labels("write").inc()
                _log.warning("the ledger cannot be written, trying again: %s", error)
                await asyncio.sleep(back_off.pause())
            else:
                return
        _log.error("%d notes were not written to the ledger", len(notes))

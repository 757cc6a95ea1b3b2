"""Writes the ledger behind the desk's back: nobody waits for it, and it is tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from mediafleet_scheduler.egress.metrics import EgressMetrics
from mediafleet_scheduler.egress.store import StoreError

_MAX_QUEUED: Final = 20_000
_ATTEMPTS: Final = 8
_FIRST_DELAY_SECONDS: Final = 0.1
_MAX_DELAY_SECONDS: Final = 5.0

Write = Callable[[], Awaitable[None]]

_log: Final = logging.getLogger(__name__)


class Clerk:
    """Does writes one after the other, in the order they came."""

    def __init__(self, metrics: EgressMetrics) -> None:
        self._metrics = metrics
        self._queue: asyncio.Queue[tuple[str, Write]] = asyncio.Queue(_MAX_QUEUED)

    def note(self, operation: str, write: Write) -> None:
        """Have a write done; what is lost here is found again by asking the pods."""
        try:
            self._queue.put_nowait((operation, write))
        except asyncio.QueueFull:
            self._metrics.ledger_errors.labels(operation).inc()

    async def run(self) -> None:
        """Do the writes until cancelled."""
        while True:
            operation, write = await self._queue.get()
            try:
                await self._do(operation, write)
            finally:
                self._queue.task_done()

    async def finish(self) -> None:
        """Wait until all is written."""
        await self._queue.join()

    async def _do(self, operation: str, write: Write) -> None:
        delay = _FIRST_DELAY_SECONDS
        for _ in range(_ATTEMPTS):
            try:
                await write()
            except StoreError as error:
                self._metrics.ledger_errors.labels(operation).inc()
                _log.warning("%s in the ledger failed, trying again: %s", operation, error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, _MAX_DELAY_SECONDS)
            except Exception:  # noqa: BLE001 - logged; the next write must not suffer
                self._metrics.ledger_errors.labels(operation).inc()
                _log.exception("%s in the ledger failed", operation)
                return
            else:
                return

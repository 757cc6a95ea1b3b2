"""Writes who was given a task, behind the tasks: no worker and no caller waits for it.

What Redis does not have yet when a broker dies is lost: its task is then done anew.
"""

from __future__ import annotations

import asyncio

from mediafleet_scheduler.broker.shared.ledger import Ledger, LedgerError
from mediafleet_scheduler.broker.tasks.kept import Kept


class Attempts:
    """Of the tasks that are this broker's in the shared ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._untold: dict[str, Kept] = {}
        self._wake = asyncio.Event()

    def tell(self, kept: Kept) -> None:
        """A task was given to one more worker; one that is not in the ledger yet comes with it."""
        if kept.version is not None:
            self._untold[kept.job.id] = kept
            self._wake.set()

    def again(self) -> None:
        """Redis answers: write what it has not taken."""
        if self._untold:
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._untold:
                name, kept = next(iter(self._untold.items()))
                if kept.version is not None and not kept.job.result.done():
                    given = kept.job.given
                    try:
                        await self._ledger.given(name, kept.version, given)
                    except LedgerError:
                        break  # The beat complains, and says when to go on.
                    if kept.job.given is not given:
                        continue
                self._untold.pop(name, None)

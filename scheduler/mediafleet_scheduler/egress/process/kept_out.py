"""Fleets whose Redis, by whatever words they name it, is a declared one that is not for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable

from mediafleet_scheduler.core.egress.views import Fleet

ReportRedis = Callable[[Fleet, bool], Awaitable[None]]
"""Reports of a fleet whether it may use its Redis."""


async def report_nothing(fleet: Fleet, allowed: bool) -> None:
    """Report it nowhere."""
    del fleet, allowed


class KeptOut:
    """Reports it once when a fleet is kept out, and once when it is served again."""

    def __init__(self, report: ReportRedis) -> None:
        self._report = report
        self._told: dict[str, bool] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def keep_only(self, keys: Collection[str]) -> None:
        """Other fleets are gone."""
        self._told = {key: told for key, told in self._told.items() if key in keys}

    def note(self, fleets: Iterable[Fleet], allowed: bool) -> None:
        """These may, or may not, use their Redis, as it turns out."""
        for fleet in fleets:
            # What an earlier desk said stands in the status.
            if self._told.get(fleet.key, not fleet.kept_out) is not allowed:
                self._told[fleet.key] = allowed
                task = asyncio.ensure_future(self._report(fleet, allowed))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Report no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

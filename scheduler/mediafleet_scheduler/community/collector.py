"""Reads what several operators share, again and again, and holds the newest of each in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.formats.times import rfc3339
from mediafleet_common.probes.http_client import FetchError, client, fetch
from mediafleet_scheduler.core.community.collecting import NoSummaryError, Summary, read_summary
from mediafleet_scheduler.core.community.mapping import world_view

LOOK_SECONDS: Final = 60.0
_TIMEOUT_SECONDS: Final = 10.0
_AT_ONCE: Final = 16
_OLD_SECONDS: Final = 86_400.0
"""An older answer counts as none: a summary covers one day."""
_LEFT: Final = "HTTP 410"
"""What an advertiser answers once its operator has left."""


@dataclass(slots=True)
class Target:
    """An operator that is asked."""

    url: str
    summary: Summary | None = None
    accepted_at: float | None = None
    """Unix seconds of the last report that was taken."""
    refused: str | None = None
    """Why the last one was not; `None`: it was."""


class Collector:
    """All operators that are asked, and the view of them together."""

    def __init__(self, urls: Sequence[str], operator: str, clock: Clock = SYSTEM) -> None:
        self.targets = {url: Target(url) for url in dict.fromkeys(urls)}
        self._operator = operator
        self._clock = clock
        self._changed = asyncio.Event()
        self.view = b""
        """JSON of what anybody may see."""
        self._make_view()

    async def run(self) -> None:
        """Ask all of them every minute, until cancelled."""
        async with client(reach=OWN_WORD) as session:
            while True:
                await self.look(session)
                await asyncio.sleep(LOOK_SECONDS)

    async def look(self, session: aiohttp.ClientSession) -> None:
        """Ask all of them once."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def ask(target: Target) -> None:
            async with gate:
                await self._ask(session, target)

        async with asyncio.TaskGroup() as tasks:
            for each in self.targets.values():
                tasks.create_task(ask(each))
        self._make_view()

    async def look_again(self, url: str) -> Target | None:
        """Ask one at once; `None`: it is not among those that are asked."""
        target = self.targets.get(url)
        if target is not None:
            async with client(reach=OWN_WORD) as session:
                await self._ask(session, target)
            self._make_view()
        return target

    async def changed(self) -> None:
        """Wait until the view is another."""
        await self._changed.wait()

    def operators(self) -> list[dict[str, Any]]:
        """Each operator by itself: for those who run the collector."""
        return [
            {
                "target": each.url,
                "region": each.summary.region if each.summary else None,
                "accepted": None if each.accepted_at is None else rfc3339(each.accepted_at),
                "refused": each.refused,
            }
            for each in self.targets.values()
        ]

    async def _ask(self, session: aiohttp.ClientSession, target: Target) -> None:
        url = f"{target.url.rstrip('/')}/summary"
        try:
            summary = read_summary(await fetch(session, url, _TIMEOUT_SECONDS))
        except FetchError as error:
            target.refused = error.no_load.detail
            if target.refused == _LEFT:
                target.summary = target.accepted_at = None
        except NoSummaryError as error:
            target.refused = f"no summary: {error}"
        else:
            target.summary, target.accepted_at = summary, self._clock.unix()
            target.refused = None

    def _make_view(self) -> None:
        now = self._clock.unix()
        known = [
            each.summary
            for each in self.targets.values()
            if each.summary and now - (each.accepted_at or 0) < _OLD_SECONDS
        ]
        shown = world_view(known, len(self.targets) - len(known), now)
        view = json.dumps({"operator": self._operator, **shown}, sort_keys=True).encode()
        if view != self.view:
            self.view = view
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

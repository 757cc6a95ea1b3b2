"""Asks desks which certificate their KEDA scaler shows: `GET /demand`, one task for each desk.

Replicas of a desk get a new one each at its own time, so the newest that was heard counts, and what
an older replica says later is no news.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mediafleet_common.back_off import BackOff
from mediafleet_common.probes.http_client import FetchError
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.rounds.desks.demand import Ask
from mediafleet_operator.settings import DemandTimes

FIRST_SECONDS: Final = 1.0
"""A new ScaledObject waits so long for a desk's first answer: one that is changed right after it
was made has KEDA begin twice."""


@dataclass(slots=True)
class _Desk:
    """What is known of one desk."""

    every_seconds: float
    followed: set[FleetKey] = field(default_factory=set)
    newest: str | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it has answered, or has not."""
    task: asyncio.Task[None] | None = None


class Certificates:
    """What the desks of followed fleets show; `on_news` gets the fleets of one that has another."""

    def __init__(
        self, ask: Ask, on_news: Callable[[FleetKey], None], times: DemandTimes | None = None
    ) -> None:
        self._ask = ask
        self._on_news = on_news
        self._times = times or DemandTimes()
        self._desks: dict[str, _Desk] = {}
        self._urls: dict[FleetKey, str] = {}

    async def of(self, key: FleetKey, url: str, every_seconds: float) -> str | None:
        """The newest certificate of a fleet's desk, which is asked again and again from now on;
        `None`: not known, or there is none."""
        if self._urls.get(key) != url:
            self.forget(key)
            self._urls[key] = url
        desk = self._desks.setdefault(url, _Desk(every_seconds))
        desk.followed.add(key)
        if desk.task is None:
            desk.task = asyncio.create_task(self._run(url, desk), name=f"certificate {url}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await desk.asked.wait()
        return desk.newest

    def forget(self, key: FleetKey) -> None:
        """Stop asking for this fleet."""
        url = self._urls.pop(key, None)
        desk = self._desks.get(url) if url else None
        if url is None or desk is None:
            return
        desk.followed.discard(key)
        if not desk.followed:
            del self._desks[url]
            if desk.task is not None:
                desk.task.cancel()

    async def close(self) -> None:
        """Stop asking."""
        tasks = [desk.task for desk in self._desks.values() if desk.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, url: str, desk: _Desk) -> None:
        back_off = BackOff(self._times.first_pause_seconds, self._times.max_pause_seconds)
        while True:
            try:
                told = (await self._ask(url)).certificate
            except FetchError:
                pause_seconds = back_off.pause()
            else:
                back_off.reset()
                pause_seconds = desk.every_seconds
                if told is not None and (desk.newest is None or told > desk.newest):
                    desk.newest = told
                    for key in desk.followed:
                        self._on_news(key)
            desk.asked.set()
            await asyncio.sleep(pause_seconds)

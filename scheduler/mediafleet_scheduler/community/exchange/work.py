"""Who knows of work tells it to the reporter: a desk of its jobs, a broker of its tasks, a node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_scheduler.community.exchange.redis import (
    Exchange,
    ExchangeError,
    Place,
    exchange_of,
)
from mediafleet_scheduler.core.community.sources import pseudonym
from mediafleet_scheduler.core.community.stored import day_of
from mediafleet_scheduler.core.community.work.kinds import Kind, Work
from mediafleet_scheduler.core.community.work.sources import Namer
from mediafleet_scheduler.core.community.work.told import HeardWork

TELL_SECONDS: Final = 15.0

Told = Callable[[Namer], Awaitable[Iterable[Work] | None]]
"""What runs at this moment, by names of the day; `None`: it is not known now."""

_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class WorkTeller:
    """What one process knows of work."""

    exchange: Exchange
    who: str
    """Unique in the pool."""
    kinds: Collection[Kind]
    """What it knows of."""
    work: Told
    _said: str = field(default="")

    async def run(self) -> None:
        """Tell every 15 s, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(TELL_SECONDS)

    async def look(self) -> None:
        """Tell once."""
        try:
            key = await self.exchange.key()
            work = await self.work(partial(pseudonym, key))
            if work is not None:
                await self.exchange.tell_work(self.who, key, work, self.kinds)
            self._said = ""
        except ExchangeError as error:
            said, self._said = self._said, str(error)
            if said != self._said:
                _log.warning("work is not told: %s", error)


@asynccontextmanager
async def told_of(
    exchange: Exchange, kinds: Collection[Kind], work: Told, who: str
) -> AsyncIterator[None]:
    """Tell of work until left."""
    task = asyncio.create_task(WorkTeller(exchange, who, kinds, work).run(), name="work")
    try:
        yield
    finally:
        task.cancel()


@asynccontextmanager
async def telling_work(
    place: Place | None, kinds: Collection[Kind], work: Told, who: str, clock: Clock = SYSTEM
) -> AsyncIterator[None]:
    """Tell of work in a Redis until left; `place`: `None`: nowhere.

    Raises:
        CannotStartError: the URL of the Redis makes no sense.
    """
    if place is None:
        yield
        return
    exchange = exchange_of(place, clock)
    try:
        async with told_of(exchange, kinds, work, who):
            yield
    finally:
        await exchange.close()


class WorkHearing:
    """What a reporter hears of work."""

    def __init__(
        self, further: Iterable[str], exchange: Exchange | None, clock: Clock = SYSTEM
    ) -> None:
        self.kinds = tuple(Kind(name) for name in further)
        """What is shared."""
        self._exchange = exchange
        self._clock = clock
        self._told: frozenset[Kind] = frozenset()
        self._heard: tuple[str, HeardWork] | None = None

    @property
    def untold(self) -> list[str]:
        """Kinds that are to be shared and of which nobody tells now."""
        return [kind.value for kind in self.kinds if kind not in self._told]

    async def hear(self) -> None:
        """Take in what is told, where anything is shared.

        Raises:
            ExchangeError: it cannot be read.
        """
        if self._exchange is None or not self.kinds:
            return
        # Of the moment before: what is under way at midnight may be of either day.
        self._heard, day = None, day_of(self._clock.unix())
        try:
            heard = await self._exchange.hear_work()
        except ExchangeError:
            self._told = frozenset()
            raise
        self._heard, self._told = (day, heard), heard.kinds

    def take(self, now: float) -> HeardWork | None:
        """What was heard since this was last asked; `None`: nothing, or under yesterday's names."""
        heard, self._heard = self._heard, None
        return heard[1] if heard is not None and heard[0] == day_of(now) else None

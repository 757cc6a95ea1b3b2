"""The newest snapshot of a desk's demand, and the callers that wait for a change.

Level-triggered: the desk is read at intervals, whatever changed. All answers of one moment come
from one snapshot. An outlook that rests reads seldom while nobody asks, and at once when somebody
does.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.reports.demand import Demand, FleetDemand
from mediafleet_scheduler.core.scaling.history import History
from mediafleet_scheduler.scaler.times import DemandTimes

Key = tuple[str, str]
"""Namespace and name."""
Read = Callable[[], Iterable[FleetDemand] | None]
"""What the desk knows now; `None`: it does not know its fleets yet. Never blocks."""

_REST_SECONDS: Final = 5.0
"""Between two readings while nobody asks, for the history."""
_SHARE: Final = 20
"""Reading takes at most one part in so many of the time, as far as the longest pause allows."""


class Outlook:
    """Reads a desk's demand, and wakes callers that wait for a change of a fleet."""

    def __init__(
        self,
        read: Read,
        times: DemandTimes | None = None,
        *,
        rest_after_seconds: float = math.inf,
        clock: Clock = SYSTEM,
    ) -> None:
        """It rests when nobody has asked for so long; by default it never does."""
        self.times: Final = times or DemandTimes()
        self._read = read
        self._clock = clock
        self._rest_after_seconds = rest_after_seconds
        self._asked_at = -math.inf
        self._waiting = 0
        """Callers that wait for news."""
        self._asked = asyncio.Event()
        """Set unless it rests."""
        self._asked.set()
        self._fleets: Mapping[Key, FleetDemand] | None = None
        self._news: dict[Key, asyncio.Event] = {}
        self._over = False
        self.history: Final = History()
        """What was read over the last hours."""

    @property
    def known(self) -> bool:
        """Whether the desk knows its fleets."""
        self._note_asked()
        return self._fleets is not None

    @property
    def over(self) -> bool:
        """Whether there will be no further snapshot."""
        return self._over

    def get(self, key: Key) -> FleetDemand | None:
        """The newest demand of a fleet; `None`: there is no such fleet."""
        self._note_asked()
        return (self._fleets or {}).get(key)

    def demand(self) -> Demand:
        """The newest demand of all."""
        self._note_asked()
        fleets = (self._fleets or {}).values()
        return Demand(fleets=sorted(fleets, key=lambda f: (f.kind, f.namespace, f.name)))

    async def run(self) -> None:
        """Look until cancelled."""
        try:
            while True:
                began = time.thread_time()
                self.look()
                cost = time.thread_time() - began
                await asyncio.sleep(self._pause(cost))
                await self._rest()
        finally:
            # There are no more readings, so the demand is unknown.
            self._fleets = None

    def _note_asked(self) -> None:
        self._asked_at = self._clock.monotonic()
        if not self._asked.is_set():
            self._asked.set()
            self.look()

    async def _rest(self) -> None:
        """Wait for somebody to ask, if nobody has for long enough."""
        if (
            not self._waiting
            and self._clock.monotonic() - self._asked_at > self._rest_after_seconds
        ):
            self._asked.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REST_SECONDS):
                    await self._asked.wait()

    def _pause(self, cost: float) -> float:
        times = self.times
        longest = max(times.look_seconds, times.max_look_seconds)
        return min(max(times.look_seconds, cost * _SHARE), longest)

    def look(self) -> None:
        """Look once."""
        fleets = self._read()
        before, after = self._fleets or {}, {(f.namespace, f.name): f for f in fleets or ()}
        self._fleets = None if fleets is None else after
        if fleets is not None:
            self.history.note(after.values())
        for key in tuple(self._news):
            if not _same(before.get(key), after.get(key)):
                self._news.pop(key).set()

    def close(self) -> None:
        """Wake all waiting callers: the desk ends."""
        self._over = True
        for event in self._news.values():
            event.set()

    async def news(self, key: Key, timeout_seconds: float | None = None) -> None:
        """Wait until a fleet's demand changes, the desk ends, or the time is over."""
        if self._over:
            return
        self._note_asked()
        event = self._news.setdefault(key, asyncio.Event())
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout_seconds):
                await event.wait()
        except TimeoutError:
            return
        finally:
            self._waiting -= 1


def _same(one: FleetDemand | None, other: FleetDemand | None) -> bool:
    """Whether they are equal but for their times."""
    # A fleet of which nothing changed is not counted anew, and hundreds are compared at each look.
    if one is other or one is None or other is None:
        return one is other
    return one == other.model_copy(update={"at": one.at})

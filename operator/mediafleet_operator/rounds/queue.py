"""One queue of keys: a key waits in it once, and is worked on by one worker at a time."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT")


class KeyedQueue(Generic[KeyT]):
    """Keys to look at, now or later."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[KeyT] = asyncio.Queue()
        self._waiting: set[KeyT] = set()
        self._taken: set[KeyT] = set()
        self._again: set[KeyT] = set()
        self._timers: dict[KeyT, tuple[float, asyncio.Handle]] = {}
        """When each is due (loop time); uvloop's handle of what is due at once does not say."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: KeyT) -> None:
        """Look at a key soon; while it is being looked at: once more after that."""
        if key in self._taken:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: KeyT, seconds: float) -> None:
        """Look at a key after some time; of several times the first one counts."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        timer = self._timers.get(key)
        if timer is not None:
            if timer[0] <= due:
                return
            timer[1].cancel()
        self._timers[key] = (due, loop.call_at(due, self._due, key))

    async def take(self) -> KeyT:
        """The next key; to be given back by `done`."""
        key = await self._ready.get()
        self._waiting.discard(key)
        self._taken.add(key)
        return key

    def done(self, key: KeyT) -> None:
        """The key has been looked at."""
        self._taken.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """Forget all that is to come."""
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _due(self, key: KeyT) -> None:
        del self._timers[key]
        self.add(key)

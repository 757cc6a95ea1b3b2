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
        self._rests: dict[KeyT, float] = {}
        """Until when (loop time) those that were just looked at rest."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: KeyT) -> None:
        """Look at a key soon; while it is being looked at or rests: once more after that."""
        if key in self._taken:
            self._again.add(key)
            return
        until = self._rests.get(key)
        if until is not None:
            left = until - asyncio.get_running_loop().time()
            if left > 0:
                self.add_after(key, left)
                return
            del self._rests[key]
        if key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: KeyT, seconds: float) -> None:
        """Look at a key after some time; of several times the first one counts. What is due while \
the key rests waits for that."""
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

    def done(self, key: KeyT, rest_seconds: float = 0.0) -> None:
        """The key has been looked at, and is not looked at again for so long."""
        self._taken.discard(key)
        self._rests.pop(key, None)
        if rest_seconds > 0:
            self._rests[key] = asyncio.get_running_loop().time() + rest_seconds
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

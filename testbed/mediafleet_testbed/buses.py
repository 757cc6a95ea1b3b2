"""Buses for tests: in memory, and one that loses, doubles and delays. Held to the real one by
tests/contract/test_bus.py.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from mediafleet_scheduler.psrpc.bus import Bus, Receiver, Receivers, Subscription


class MemoryBus:
    """A bus inside one process."""

    def __init__(self) -> None:
        self._receivers = Receivers()

    def publish(self, channel: str, data: bytes) -> None:
        """Send to all who listen when the event loop gets there."""
        asyncio.get_running_loop().call_soon(self._receivers.deliver, channel, data)

    async def subscribe(self, channel: str, receive: Receiver) -> Subscription:
        """Listen."""
        self._receivers.add(channel, receive)
        return _MemorySubscription(self._receivers, channel, receive)


class _MemorySubscription:
    def __init__(self, receivers: Receivers, channel: str, receive: Receiver) -> None:
        self._receivers = receivers
        self._channel = channel
        self._receive = receive

    async def close(self) -> None:
        self._receivers.remove(self._channel, self._receive)


@dataclass(frozen=True, slots=True)
class Faults:
    """How unkind a faulty bus is: probabilities from 0 to 1 for each message."""

    lose: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    """How many are late; late ones are overtaken."""
    max_delay_seconds: float = 0.05


class FaultyBus:
    """A bus that loses, duplicates and delays what is published through it, by a seed."""

    def __init__(self, inner: Bus, faults: Faults, seed: int) -> None:
        self._inner = inner
        self.faults = faults
        """May be changed while it is used."""
        self._random = random.Random(seed)

    def publish(self, channel: str, data: bytes) -> None:
        """Send, perhaps."""
        if self._random.random() < self.faults.lose:
            return
        copies = 2 if self._random.random() < self.faults.duplicate else 1
        for _ in range(copies):
            if self._random.random() < self.faults.delay:
                delay = self._random.uniform(0, self.faults.max_delay_seconds)
                loop = asyncio.get_running_loop()
                loop.call_later(delay, self._inner.publish, channel, data)
            else:
                self._inner.publish(channel, data)

    async def subscribe(self, channel: str, receive: Receiver) -> Subscription:
        """Listen; what is heard has suffered already."""
        return await self._inner.subscribe(channel, receive)

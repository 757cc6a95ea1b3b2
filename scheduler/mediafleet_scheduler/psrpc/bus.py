"""The bus: publish, subscribe, and nothing else. In memory and faulty here, Redis in redis_bus.py.

Delivery is at most once and in the order of publishing for one publisher, as Redis gives it; who
publishes is not told whether anybody heard. All of them pass tests/contract/test_bus.py.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

Receiver = Callable[[bytes], None]
"""Takes a message of a channel. It must return at once; what it raises is logged."""

_log: Final = logging.getLogger(__name__)


class Trouble(StrEnum):
    """What a bus counts."""

    CONNECTION_LOST = "connection_lost"
    DROPPED = "dropped"
    """A message was thrown away: the queue was full, or Redis was away for too long."""
    REFUSED = "refused"
    """Redis answered with an error: of an ACL, for example."""
    RECEIVER_FAILED = "receiver_failed"


OnTrouble = Callable[[Trouble], None]


def ignore(_: object) -> None:
    """Counts nothing."""


class Subscription(Protocol):
    """One receiver on one channel."""

    async def close(self) -> None:
        """Stop receiving; harmless when repeated."""


class Bus(Protocol):
    """Publish and subscribe on exact channel names."""

    def publish(self, channel: str, data: bytes) -> None:
        """Send to all who listen now."""

    async def subscribe(self, channel: str, receive: Receiver) -> Subscription:
        """Listen; messages published after this returns are received."""


class Receivers:
    """Who listens to what."""

    def __init__(self, on_trouble: OnTrouble = ignore) -> None:
        self._by_channel: dict[str, list[Receiver]] = {}
        self._on_trouble = on_trouble

    @property
    def channels(self) -> Iterable[str]:
        """The channels that somebody listens to."""
        return self._by_channel.keys()

    def add(self, channel: str, receive: Receiver) -> bool:
        """Add a receiver; whether it is the channel's first."""
        receivers = self._by_channel.setdefault(channel, [])
        receivers.append(receive)
        return len(receivers) == 1

    def remove(self, channel: str, receive: Receiver) -> bool:
        """Take a receiver away; whether it was the channel's last."""
        receivers = self._by_channel.get(channel, [])
        if receive not in receivers:
            return False
        receivers.remove(receive)
        if receivers:
            return False
        del self._by_channel[channel]
        return True

    def deliver(self, channel: str, data: bytes) -> None:
        """Hand a message to all who listen; one that fails harms no other."""
        for receive in tuple(self._by_channel.get(channel, ())):
            try:
                receive(data)
            except Exception:  # noqa: BLE001 - logged; the others must hear it all the same
                self._on_trouble(Trouble.RECEIVER_FAILED)
                _log.exception("a receiver of %s failed", channel)


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

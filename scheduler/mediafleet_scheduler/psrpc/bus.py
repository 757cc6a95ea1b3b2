"""The bus: publish, subscribe, and nothing else. Redis is in redis_bus.py; tests have others.

Delivery is at most once and in the order of publishing for one publisher, as Redis gives it; who
publishes is not told whether anybody heard. All of them pass tests/contract/test_bus.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
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
        self._by_channel: dict[str, tuple[Receiver, ...]] = {}
        self._on_trouble = on_trouble

    @property
    def channels(self) -> Iterable[str]:
        """The channels that somebody listens to."""
        return self._by_channel.keys()

    def add(self, channel: str, receive: Receiver) -> bool:
        """Add a receiver; whether it is the channel's first."""
        receivers = self._by_channel[channel] = (*self._by_channel.get(channel, ()), receive)
        return len(receivers) == 1

    def remove(self, channel: str, receive: Receiver) -> bool:
        """Take a receiver away; whether it was the channel's last."""
        receivers = list(self._by_channel.get(channel, ()))
        if receive not in receivers:
            return False
        receivers.remove(receive)
        if receivers:
            self._by_channel[channel] = tuple(receivers)
            return False
        del self._by_channel[channel]
        return True

    def deliver(self, channel: str, data: bytes) -> None:
        """Hand a message to all who listen; one that fails harms no other."""
        for receive in self._by_channel.get(channel, ()):
            try:
                receive(data)
            except Exception:  # noqa: BLE001 - logged; the others must hear it all the same
                self._on_trouble(Trouble.RECEIVER_FAILED)
                _log.exception("a receiver of %s failed", channel)

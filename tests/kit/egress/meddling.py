"""A bus on which single messages of one placement are lost, doubled, late or overtaken."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from mediafleet_scheduler.egress.peers import announcements
from mediafleet_scheduler.psrpc.bus import Bus, Receiver, Subscription

MESSAGES: Final = 11
"""Of one placement: nine with two desks, two by which the pod tells livekit-server of the job."""


class Fate(StrEnum):
    """What becomes of a message."""

    LOST = "lost"
    DOUBLED = "doubled"
    LATE = "late"
    VERY_LATE = "very late"
    OVERTAKEN = "overtaken by the next"


class Meddling:
    """A bus on which the messages with these numbers have a fate."""

    def __init__(
        self, inner: Bus, fates: Mapping[int, Fate], late_seconds: tuple[float, float]
    ) -> None:
        self._inner = inner
        self._fates = fates
        self._late, self._very_late = late_seconds
        self._held: list[tuple[str, bytes]] = []
        self.published = 0
        self.meddles = False

    def publish(self, channel: str, data: bytes) -> None:
        if channel == announcements.CHANNEL:
            # No message of a placement: it comes at its own times.
            self._inner.publish(channel, data)
            return
        fate = self._fates.get(self.published) if self.meddles else None
        self.published += self.meddles
        loop = asyncio.get_running_loop()
        match fate:
            case Fate.LOST:
                return
            case Fate.DOUBLED:
                self._inner.publish(channel, data)
            case Fate.LATE:
                loop.call_later(self._late, self._inner.publish, channel, data)
                return
            case Fate.VERY_LATE:
                loop.call_later(self._very_late, self._inner.publish, channel, data)
                return
            case Fate.OVERTAKEN:
                self._held.append((channel, data))
                return
        self._inner.publish(channel, data)
        while self._held:
            self._inner.publish(*self._held.pop())

    async def subscribe(self, channel: str, receive: Receiver) -> Subscription:
        return await self._inner.subscribe(channel, receive)

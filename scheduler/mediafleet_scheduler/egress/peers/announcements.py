"""Tells other desks on the same Redis what this one serves, and notices who does not belong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from mediafleet_common.clock import Clock
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.core.egress.other_desks import (
    EVERY_SECONDS,
    Announcement,
    OtherDesks,
    announcement,
    from_bytes,
    to_bytes,
)
from mediafleet_scheduler.core.egress.views import Fleet
from mediafleet_scheduler.egress.peers.forwarding import SERVICE
from mediafleet_scheduler.psrpc import channels, identifiers
from mediafleet_scheduler.psrpc.bus import Bus

CHANNEL: Final = channels.request(SERVICE, "MediafleetDesk")
"""No method of egress', and within what an ACL user of the desk may use."""

_log: Final = logging.getLogger(__name__)


class Announcements:
    """What desks say of themselves."""

    def __init__(
        self, bus: Bus, db: int, fleets: Callable[[], Iterable[Fleet]], clock: Clock
    ) -> None:
        self._bus = bus
        self._db = db
        self._fleets = fleets
        self._clock = clock
        self._desk = identifiers.server_id("mediafleet")
        self._others = OtherDesks()
        self.complaints: list[str] = []
        """What is wrong with who else is there."""

    async def run(self) -> None:
        """Say and hear until cancelled."""
        await self._bus.subscribe(CHANNEL, self._take)
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            mine = self._mine()
            self._bus.publish(CHANNEL, to_bytes(mine))
            before = self.complaints
            self.complaints = self._others.complaints(mine, self._clock.unix())
            for complaint in self.complaints:
                if complaint not in before:
                    _log.error("%s", printable(complaint))
            if before and not self.complaints:
                _log.info("the desks on this Redis belong together again")

    def _mine(self) -> Announcement:
        return announcement(self._desk, self._db, self._fleets())

    def _take(self, data: bytes) -> None:
        said = from_bytes(data)
        if said is not None:
            self._others.hear(said, self._mine(), self._clock.unix())

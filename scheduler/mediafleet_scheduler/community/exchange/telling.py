"""Who sees gateways tells it to the reporter: an advertiser who asks, a door who streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.ip_addresses import IpNetwork
from mediafleet_scheduler.community.exchange.redis import Exchange, ExchangeError
from mediafleet_scheduler.community.origins import Origins
from mediafleet_scheduler.core.community.cells import Cell
from mediafleet_scheduler.core.community.sources import pseudonym, source_of
from mediafleet_scheduler.core.community.windows import Use

TELL_SECONDS: Final = 15.0
HELD_SECONDS: Final = 30.0
"""So long is told that a gateway asked: a reporter looks every 15 s."""
_MOST_SOURCES: Final = 10_000

Streams = Callable[[], Awaitable[Mapping[str, int]]]
"""Streams by address at this moment; nothing where that is not known."""

_log: Final = logging.getLogger(__name__)


async def no_streams() -> Mapping[str, int]:
    """Of an advertiser: it sees none."""
    return {}


@dataclass(slots=True)
class Teller:
    """What one process sees of gateways. Addresses live until it has told, and no longer."""

    exchange: Exchange
    who: str
    origins: Origins
    own_networks: tuple[IpNetwork, ...] = ()
    """Whose addresses are the operator's own, as those of nodes to which a Service rewrites."""
    streams: Streams = no_streams
    clock: Clock = SYSTEM
    _asked: dict[str, tuple[Cell, float]] = field(default_factory=dict)
    """Name of the day: the place, and when."""
    _key: bytes | None = None
    _said: str = ""

    def asked(self, gateway: str | None, peer: str) -> None:
        """A gateway asked for nodes.

        Args:
            gateway: its ETH address, verified, as `0x` and hex; `None`: it has none.
            peer: IP address that it called from.
        """
        source = source_of(gateway, peer, self.own_networks)
        if source is None or self._key is None:
            return
        name = pseudonym(self._key, source)
        known = self._asked.get(name)
        if known is None and len(self._asked) >= _MOST_SOURCES:
            return
        cell = self.origins.of(peer) if known is None else known[0]
        self._asked[name] = cell, self.clock.monotonic()

    async def run(self) -> None:
        """Tell every 15 s, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(TELL_SECONDS)

    async def look(self) -> None:
        """Tell once."""
        try:
            await self._tell()
            self._said = ""
        except ExchangeError as error:
            self._asked.clear()
            said, self._said = self._said, str(error)
            if said != self._said:
                _log.warning("origins are not told: %s", error)

    async def _tell(self) -> None:
        self.origins.reopen()
        key = await self.exchange.key()
        if key != self._key:
            self._key = key
            self._asked.clear()
        since = self.clock.monotonic() - HELD_SECONDS
        self._asked = {name: each for name, each in self._asked.items() if each[1] >= since}
        uses = {name: Use(name, cell, asks=True) for name, (cell, _) in self._asked.items()}
        for peer, streams in (await self.streams()).items():
            source = source_of(None, peer, self.own_networks)
            if source is not None:
                name = pseudonym(key, source)
                known = uses.get(name) or Use(name, self.origins.of(peer))
                uses[name] = Use(name, known.cell, known.streams + streams, known.asks)
        await self.exchange.tell(self.who, key, uses.values(), self.origins.complaint)

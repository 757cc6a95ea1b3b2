"""Counts what an operator shares of the demand on its nodes, and shows it over HTTP.

Nothing is sent: whoever may reach the port reads it. Names of sources are hashes under a key that
lives in memory for a UTC day; no address is kept, and nothing is on disk. A restart begins anew.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from mediafleet_common.api.community import Community
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_scheduler.core.community.cells import WORLD, Cell
from mediafleet_scheduler.core.community.counting import Counting
from mediafleet_scheduler.core.community.origin import cell_of
from mediafleet_scheduler.core.community.publishing import HourRecord
from mediafleet_scheduler.core.community.rendering import DAY_HOURS, Shared, as_json, as_prometheus
from mediafleet_scheduler.core.community.sources import KEY_BYTES, pseudonym, source_of
from mediafleet_scheduler.core.community.windows import Use
from mediafleet_scheduler.directory.region_database import RegionDatabase

LOOK_SECONDS: Final = 15.0
_GAP_SECONDS: Final = 4 * LOOK_SECONDS
"""After a longer pause what was in between is not known, and is not filled."""
_MOST_SOURCES: Final = 100_000
"""Remembered between two looks; a flood of addresses costs no more memory than that."""


class Reporter:
    """What one operator shares."""

    def __init__(
        self,
        community: Community,
        streams: Callable[[], int | None],
        database: Path | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self._community = community
        self._streams = streams
        self._database = None if database is None else RegionDatabase(database)
        self._clock = clock
        self._key = secrets.token_bytes(KEY_BYTES)
        self._counting = Counting(clock.unix(), community.k)
        self._hours: deque[HourRecord] = deque(maxlen=DAY_HOURS)
        self._asked: dict[str, Cell] = {}
        self._looked_at: float | None = None

    def asked(self, gateway: str | None, peer: str) -> None:
        """A gateway asked for nodes.

        Args:
            gateway: its ETH address, verified, as `0x` and hex; `None`: it has none.
            peer: IP address that it called from.
        """
        if not self._community.share.gateways_by_origin or len(self._asked) >= _MOST_SOURCES:
            return
        source = source_of(gateway, peer)
        if source is None:
            return
        name = pseudonym(self._key, source)
        if name not in self._asked:
            record = None if self._database is None else self._database.record(peer)
            self._asked[name] = WORLD if record is None else cell_of(record)

    async def run(self) -> None:
        """Look every 15 s until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Take in what runs now, and close the windows that are over."""
        now = self._clock.unix()
        passed = 0.0 if self._looked_at is None else now - self._looked_at
        self._looked_at = now
        if self._database is not None:
            self._database.reopened()
        if self._counting.is_new_day(now):
            # Under two names one source would count as two.
            self._key = secrets.token_bytes(KEY_BYTES)
            self._asked.clear()
        own = self._streams() if self._community.share.own_streams else None
        uses = [Use(name, cell, asks=True) for name, cell in self._asked.items()]
        self._asked.clear()
        held = passed if 0 < passed <= _GAP_SECONDS else 0.0
        record = self._counting.look(now, uses, own, held)
        if record is not None:
            self._hours.append(record)

    @property
    def shared(self) -> Shared:
        """All that is shared at this moment."""
        oldest = self._clock.unix() - (DAY_HOURS + 1) * 3600
        hours = [each for each in self._hours if each.start >= oldest]
        return Shared(self._community.region, self._counting.own_now, hours)

    def routes(self) -> list[web.RouteDef]:
        """`GET /summary` (JSON) and `GET /metrics/community` (Prometheus)."""

        async def summary(_: web.Request) -> web.Response:
            body = json.dumps(as_json(self.shared), sort_keys=True).encode() + b"\n"
            return web.Response(body=body, content_type="application/json")

        async def metrics(_: web.Request) -> web.Response:
            return web.Response(text=as_prometheus(self.shared))

        return [web.get("/summary", summary), web.get("/metrics/community", metrics)]

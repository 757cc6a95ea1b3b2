"""Where a node's streams come from, as seen in its pod: by the door before it, or by the node."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp

from mediafleet_common.agent.drain_proxy import DrainProxy
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.ip_addresses import IpNetwork
from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.probes.exposition import UnreadableMetricsError, read
from mediafleet_common.probes.http_client import FetchError, client, fetch
from mediafleet_scheduler.community.exchange.redis import Place, exchange_of
from mediafleet_scheduler.community.exchange.telling import Teller
from mediafleet_scheduler.community.exchange.work import told_of
from mediafleet_scheduler.community.origins import Origins
from mediafleet_scheduler.core.community.origins.streams import (
    PIXELS,
    Labels,
    at_door,
    by_client_ip,
    pixel_rates,
    pixels_by_stream,
)
from mediafleet_scheduler.core.community.work.kinds import Work
from mediafleet_scheduler.core.community.work.sources import PIXEL_KINDS, Namer, pixel_work


@dataclass(frozen=True, slots=True)
class Door:
    """The drain proxy, which sees the networks that connections come from."""

    proxy: DrainProxy

    async def streams(self) -> Mapping[str, int]:
        """Streams by network address."""
        return at_door(await self.proxy.origins())


@dataclass(slots=True)
class ClientIps:
    """The node itself, where the operator has it name its clients (-metricsClientIP)."""

    session: aiohttp.ClientSession
    metrics_url: str
    timeout_seconds: float = 2.0
    clock: Clock = SYSTEM
    _before: dict[Labels, float] | None = field(default=None)
    _read_at: float = 0.0
    _rates: dict[str, float] | None = field(default=None)

    async def streams(self) -> Mapping[str, int]:
        """Streams by address since the reading before; none at the first, or where it is silent."""
        self._rates = None
        try:
            text = await fetch(self.session, self.metrics_url, self.timeout_seconds)
            series = read(text, (PIXELS,))
        except (FetchError, UnreadableMetricsError):
            return {}
        now = pixels_by_stream((each.labels, each.value) for each in series)
        before, self._before = self._before, now
        passed, self._read_at = self.clock.monotonic() - self._read_at, self.clock.monotonic()
        if before is None or passed <= 0:
            return {}
        self._rates = pixel_rates(before, now, passed)
        return by_client_ip(before, now)

    async def pixels(
        self, name: Namer, own_networks: Sequence[IpNetwork] = ()
    ) -> Iterable[Work] | None:
        """Pixels as they were told with the streams, once; `None`: not since the last time."""
        rates, self._rates = self._rates, None
        return None if rates is None else pixel_work(rates, name, own_networks)


@asynccontextmanager
async def telling(
    place: Place,
    seen_by: DrainProxy | str,
    database: Path | None,
    own_networks: tuple[IpNetwork, ...],
    clock: Clock = SYSTEM,
) -> AsyncIterator[None]:
    """Tell a reporter where the node's streams come from, until left.

    Args:
        place: the Redis.
        seen_by: the door, or the URL of the node's metrics.
        database: of places (.mmdb).
        own_networks: whose addresses are the operator's own.

    Raises:
        CannotStartError: the URL of the Redis makes no sense.
    """
    async with AsyncExitStack() as stack:
        exchange = exchange_of(place, clock)
        stack.push_async_callback(exchange.close)
        who = f"node-{secrets.token_hex(6)}"
        if isinstance(seen_by, DrainProxy):
            streams = Door(seen_by).streams
        else:
            session = await stack.enter_async_context(client(reach=OWN_WORD))
            node = ClientIps(session, seen_by, clock=clock)
            streams = node.streams
            pixels = partial(node.pixels, own_networks=own_networks)
            await stack.enter_async_context(told_of(exchange, PIXEL_KINDS, pixels, who))
        teller = Teller(exchange, who, Origins(database), own_networks, streams, clock)
        task = asyncio.create_task(teller.run(), name="origins")
        stack.callback(task.cancel)
        yield

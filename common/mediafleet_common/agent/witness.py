"""What can be seen only inside a node's pod: its private metrics, its sockets, its load."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from mediafleet_common.agent import live_runners, network, sockets
from mediafleet_common.agent.drain_proxy import DrainProxy, ProxySight
from mediafleet_common.agent.live_runners import LiveRunners
from mediafleet_common.agent.network import Transferred
from mediafleet_common.agent.sockets import Ip, Socket, UnreadableSocketsError
from mediafleet_common.api.names import Port
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.probes.http_client import FetchError, fetch
from mediafleet_common.probes.load import Source, UnreadableMetricsError, named, parse

_MAX_BYTES: Final = 8 * 1024 * 1024
_MAX_LOAD_BYTES: Final = 1024 * 1024
_MAX_TABLE_BYTES: Final = 16 * 1024 * 1024
_MAX_NUMBER_BYTES: Final = 64
_MOST_LOAD: Final = 1_000_000
_TIMEOUT_SECONDS: Final = 2.0
_LOAD_TIMEOUT_SECONDS: Final = 0.7
"""Within the second that readers of our metrics wait."""
PROBER_SECONDS: Final = 120.0
"""So long after its last reading an address counts as a prober's."""
_MAX_PROBERS: Final = 64


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How an agent is set up."""

    metrics_url: str = f"http://127.0.0.1:{Port.NODE_CLI}/metrics"
    source: Source = Source.TRANSCODE
    load_url: str | None = None
    load_metric: str | None = None
    """Name in the exposition at `load_url`; `None`: there is a JSON number."""
    node_port: int = Port.ORCHESTRATOR
    cli_port: int = Port.NODE_CLI
    grace_seconds: float = 30.0
    behind_port: int = Port.BEHIND_PROXY
    """Where the node listens if there is a drain proxy before it."""
    proc: Path = Path("/proc/net")


@dataclass(frozen=True, slots=True)
class Sight:
    """One observation; `None` is unknown."""

    connections: int | None
    listens: bool | None
    """Whether the node takes connections."""
    cli_exposed: bool | None
    url_load: int | None
    live: LiveRunners | None = None
    """What the node tells of its live runners, where that is its load."""
    proxy: ProxySight | None = None
    """`None`: there is none."""
    network: Transferred | None = None
    """What the kernel counts of the pod."""


@dataclass(slots=True)
class Witness:
    """Observes a node on demand."""

    settings: AgentSettings
    session: aiohttp.ClientSession
    clock: Clock = SYSTEM
    proxy: DrainProxy | None = None
    _probers: dict[Ip, float] = field(default_factory=dict)

    @property
    def sees_load_itself(self) -> bool:
        """Whether the load is known without the node's metrics."""
        return self.settings.source not in (Source.TRANSCODE, Source.DOCKER_AI)

    def probed_by(self, ip: Ip) -> None:
        """One of our own probers is at that address."""
        now = self.clock.monotonic()
        self._probers = {
            each: at for each, at in self._probers.items() if now - at < PROBER_SECONDS
        }
        if len(self._probers) < _MAX_PROBERS:
            self._probers[ip] = now

    async def node_metrics(self) -> bytes:
        """What the node's CLI server tells at /metrics.

        Raises:
            FetchError: it does not.
        """
        return await fetch(self.session, self.settings.metrics_url, _TIMEOUT_SECONDS, _MAX_BYTES)

    async def look(self) -> Sight:
        """Everything but the node's own metrics."""
        table = await asyncio.to_thread(self._sockets)
        url_load = await self._url_load() if self.settings.load_url else None
        live = await self._live() if self.settings.source is Source.LIVE_RUNNERS else None
        proxy = await self.proxy.look() if self.proxy else None
        transferred = await asyncio.to_thread(self._network)
        if table is None:
            return Sight(None, None, None, url_load, live, proxy, transferred)
        now = self.clock.monotonic()
        probers = {ip for ip, at in self._probers.items() if now - at < PROBER_SECONDS}
        return Sight(
            sockets.connections(table, self.settings.node_port, probers),
            sockets.listens(table, self.settings.node_port),
            sockets.exposed(table, self.settings.cli_port),
            url_load,
            live,
            proxy,
            transferred,
        )

    async def ready(self) -> bool:
        """Whether the node takes connections, behind its proxy."""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                _, writer = await asyncio.open_connection("127.0.0.1", self.settings.behind_port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    async def jobs(self) -> int | None:
        """Work by the pool's source of load, and what the proxy waits for; `None`: unknown."""
        reported = await self._reported()
        if self.proxy is None or reported is None:
            return reported
        waits = (await self.proxy.look()).in_flight
        return None if waits is None else max(reported, waits)

    async def _reported(self) -> int | None:
        source = self.settings.source
        if source is Source.REQUESTS:
            return (await self.proxy.look()).in_flight if self.proxy else None
        if self.sees_load_itself:
            return _seen(await self.look(), source)
        try:
            return parse(await self.node_metrics(), self.settings.source).jobs
        except (FetchError, UnreadableMetricsError):
            return None

    def _network(self) -> Transferred | None:
        try:
            with (self.settings.proc / "dev").open() as file:
                return network.parse(file.read(_MAX_TABLE_BYTES))
        except (OSError, ValueError):
            return None

    def _sockets(self) -> tuple[Socket, ...] | None:
        found: list[Socket] = []
        for name in ("tcp", "tcp6"):
            try:
                with (self.settings.proc / name).open() as file:
                    found += sockets.parse(file.read(_MAX_TABLE_BYTES))
            except FileNotFoundError:
                # A kernel without IPv6 has no tcp6; one without tcp tells nothing.
                if name == "tcp":
                    return None
            except (OSError, UnreadableSocketsError):
                return None
        return tuple(found)

    async def _live(self) -> LiveRunners | None:
        port = self.settings.behind_port if self.proxy else self.settings.node_port
        # A node signs its own certificate.
        url = f"https://127.0.0.1:{port}/discovery"
        seconds = _LOAD_TIMEOUT_SECONDS
        try:
            body = await fetch(self.session, url, seconds, _MAX_LOAD_BYTES, tls=False)
        except FetchError:
            return None
        return live_runners.parse(body)

    async def _url_load(self) -> int | None:
        url, metric = self.settings.load_url, self.settings.load_metric
        assert url is not None
        try:
            body = await fetch(self.session, url, _LOAD_TIMEOUT_SECONDS, _MAX_LOAD_BYTES)
            value = named(body, metric) if metric else _number(body)
        except (FetchError, UnreadableMetricsError):
            return None
        # Rounded up: half a job is one.
        return None if value is None or value < 0 else math.ceil(value)


def _seen(sight: Sight, source: Source) -> int | None:
    if source is Source.LIVE_RUNNERS:
        return None if sight.live is None else sight.live.sessions
    return sight.url_load if source is Source.URL else sight.connections


def _number(text: bytes) -> float | None:
    if len(text) > _MAX_NUMBER_BYTES:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= _MOST_LOAD else None

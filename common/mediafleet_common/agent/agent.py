"""The sidecar of an orchestrator node: shows `/metrics` of its CLI server, and nothing else of it.

That server moves money without asking for a password (`/transferTokens`, `/withdraw`: go-livepeer
server/webserver.go), so it listens on loopback only and no other request gets through. The agent
also shows what can be seen only inside the pod (open connections, listeners on the CLI port), and
holds the node back when it is to be ended with sessions.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from mediafleet_common.agent import hold
from mediafleet_common.agent.drain_proxy import DrainProxy
from mediafleet_common.agent.network import Transferred
from mediafleet_common.agent.sockets import Ip, plain
from mediafleet_common.agent.witness import AgentSettings, Sight, Witness
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.probes.http_client import PINGS_TOO, FetchError, client
from mediafleet_common.serving.addresses import split_host_port
from mediafleet_common.serving.run import CannotStartError

_log: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 4
_HOLD_PAUSE_SECONDS: Final = 1.0


async def serve(
    settings: AgentSettings,
    listen: str,
    stop: asyncio.Event,
    on_ready: Callable[[int], None],
    clock: Clock = SYSTEM,
    proxy: DrainProxy | None = None,
) -> None:
    """Answer `GET /metrics`, `/hold` and `/ready` until `stop` is set; `on_ready` gets the port.

    `proxy`: the drain proxy before the node, if there is one, which is told what to refuse.

    A node that does not answer is 502 with the reason: its load is unknown then, and not 0. Where
    the load is not read from the node's metrics, the agent's own are shown all the same.

    Raises:
        CannotStartError: the URL is not of this machine, or the address cannot be listened on.
    """
    refuse_foreign(settings.metrics_url)
    host, port = split_host_port(listen)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(client())
        witness = Witness(settings, session, clock, proxy)
        runner = web.AppRunner(_Agent(witness).app(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise CannotStartError(f"cannot listen on {listen}: {error}") from error
        on_ready(int(runner.addresses[0][1]))
        if proxy is not None:
            following = asyncio.create_task(proxy.follow(), name="drain proxy")
            stack.callback(following.cancel)
        await stop.wait()


class _Agent:
    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._hold: asyncio.Task[hold.Release] | None = None
        self._held: hold.Release | None = None

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/metrics", self._metrics, allow_head=False)
        app.router.add_get("/hold", self._wait, allow_head=False)
        app.router.add_get("/ready", self._ready, allow_head=False)
        return app

    async def _metrics(self, request: web.Request) -> web.Response:
        if ip := pinger(request.headers.get("User-Agent", ""), request.remote):
            self._witness.probed_by(ip)
        try:
            async with self._turns:
                body = await self._witness.node_metrics()
        except FetchError as error:
            why = error.no_load
            if not self._witness.sees_load_itself:
                return web.Response(status=502, text=f"{why.why}: {why.detail}\n")
            body = b""
        sight = await self._witness.look()
        own = CollectorRegistry()
        own.register(OwnMetrics(sight, holds=self._hold is not None and not self._hold.done()))
        text = b"".join(line for line in body.splitlines(keepends=True) if line != b"# EOF\n")
        end = b"" if not text or text.endswith(b"\n") else b"\n"
        whole = text + end + generate_latest(own)
        return web.Response(body=whole, content_type="text/plain", charset="utf-8")

    async def _ready(self, _: web.Request) -> web.Response:
        """For the readiness probe of a node on loopback, which kubelet cannot reach itself."""
        return web.Response(status=200 if await self._witness.ready() else 503)

    async def _wait(self, _: web.Request) -> web.Response:
        """Answers when the node may be ended: its preStop hook, and the agent's own, wait for it.

        All callers wait for one and the same end, so that calling it does no harm.
        """
        if self._hold is None:
            self._hold = asyncio.create_task(self._hold_back(), name="hold")
        released = await asyncio.shield(self._hold)
        return web.Response(text=f"{released.value}\n")

    async def _hold_back(self) -> hold.Release:
        began, jobs = self._witness.clock.monotonic(), list[int | None]()
        grace = self._witness.settings.grace_seconds
        while True:
            sight = await self._witness.look()
            jobs.append(await self._witness.jobs())
            waited = self._witness.clock.monotonic() - began
            if why := hold.release(jobs, sight.listens, waited, grace):
                _log.info("let go after %.1f s: %s, sessions %s", waited, why.value, jobs[-1])
                return why
            if len(jobs) == 1 and jobs[0] != 0:
                _log.warning("to be ended with sessions %s: held back", jobs[0])
            del jobs[: -hold.IDLE_READINGS]
            await asyncio.sleep(_HOLD_PAUSE_SECONDS)


class OwnMetrics(Collector):
    """The agent's own metrics, for one answer; unknown ones are absent."""

    def __init__(self, sight: Sight, *, holds: bool) -> None:
        self._sight = sight
        self._holds = holds

    def collect(self) -> Iterator[Metric]:
        if self._sight.connections is not None:
            yield GaugeMetricFamily(
                "mediafleet_agent_connections",
                "Established connections to the node's port, without those of advertisers.",
                value=self._sight.connections,
            )
        if self._sight.url_load is not None:
            yield GaugeMetricFamily(
                "mediafleet_agent_url_load", "Load that loadUrl tells.", value=self._sight.url_load
            )
        if (live := self._sight.live) is not None:
            yield GaugeMetricFamily(
                "mediafleet_agent_live_sessions",
                "Sessions of the node's live runners.",
                value=live.sessions,
            )
            yield GaugeMetricFamily(
                "mediafleet_agent_live_capacity",
                "Sessions that the node's live runners take at most.",
                value=live.capacity,
            )
        if (proxy := self._sight.proxy) is not None and proxy.in_flight is not None:
            yield GaugeMetricFamily(
                "mediafleet_agent_requests",
                "Requests in flight that are work, behind the drain proxy.",
                value=proxy.in_flight,
            )
        if proxy is not None and proxy.refusing is not None:
            yield GaugeMetricFamily(
                "mediafleet_agent_refusing",
                "1 while the drain proxy refuses new work.",
                value=float(proxy.refusing),
            )
        yield from _bytes(
            "mediafleet_agent_network_bytes",
            "Bytes that the kernel counts of the pod's network, without loopback.",
            self._sight.network,
        )
        yield from _bytes(
            "mediafleet_agent_proxy_bytes",
            "Bytes of requests and answers that the drain proxy counts.",
            proxy.transferred if proxy is not None else None,
        )
        if self._sight.cli_exposed is not None:
            yield GaugeMetricFamily(
                "mediafleet_agent_cli_exposed",
                "1 when the port that moves money listens on more than loopback.",
                value=float(self._sight.cli_exposed),
            )
        yield GaugeMetricFamily(
            "mediafleet_agent_holding",
            "1 while the node is to be ended and held back for its sessions.",
            value=float(self._holds),
        )


def _bytes(name: str, text: str, counted: Transferred | None) -> Iterator[Metric]:
    if counted is not None:
        family = CounterMetricFamily(name, text, labels=["direction"])
        family.add_metric(["in"], counted.received)
        family.add_metric(["out"], counted.sent)
        yield family


def pinger(user_agent: str, remote: str | None) -> Ip | None:
    """The address of a caller that reads our metrics and also pings the node, so is no gateway.

    Only an advertiser does both, and says so. An operator in the host's network, where gateways may
    be too, keeps no connection to a node.
    """
    if not user_agent.startswith(PINGS_TOO):
        return None
    try:
        return plain(ipaddress.ip_address(remote or ""))
    except ValueError:
        return None


def refuse_foreign(url: str) -> None:
    """Take only http URLs of this machine, so that nobody reaches other machines by an agent.

    Raises:
        CannotStartError: it is another one.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if parts.scheme != "http" or not loopback or "@" in parts.netloc:
        raise CannotStartError(f"--metrics {url}: it must be an http:// URL of 127.0.0.1")

"""The sidecar of an orchestrator node: shows `/metrics` of its CLI server, and nothing else of it.

That server moves money without asking for a password (`/transferTokens`, `/withdraw`: go-livepeer
server/webserver.go), so it listens on loopback only and no other request ever gets through.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from mediafleet_common.probes.polling import FetchError, client, fetch
from mediafleet_common.serving.addresses import split_host_port
from mediafleet_common.serving.run import CannotStartError

_MAX_BYTES: Final = 8 * 1024 * 1024
_TIMEOUT_SECONDS: Final = 2.0
_AT_ONCE: Final = 4


async def serve(
    metrics_url: str, listen: str, stop: asyncio.Event, on_ready: Callable[[int], None]
) -> None:
    """Answer `GET /metrics` until `stop` is set; `on_ready` gets the port.

    A node that does not answer is 502 with the reason: its load is unknown then, and not 0.

    Raises:
        CannotStartError: the URL is not of this machine, or the address cannot be listened on.
    """
    refuse_foreign(metrics_url)
    host, port = split_host_port(listen)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(client())
        runner = web.AppRunner(_app(session, metrics_url), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise CannotStartError(f"cannot listen on {listen}: {error}") from error
        on_ready(int(runner.addresses[0][1]))
        await stop.wait()


def _app(session: aiohttp.ClientSession, metrics_url: str) -> web.Application:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def metrics(_: web.Request) -> web.Response:
        try:
            async with turns:
                body = await fetch(session, metrics_url, _TIMEOUT_SECONDS, _MAX_BYTES)
        except FetchError as error:
            why = error.no_load
            return web.Response(status=502, text=f"{why.why}: {why.detail}\n")
        return web.Response(body=body, content_type="text/plain", charset="utf-8")

    app = web.Application()
    app.router.add_get("/metrics", metrics, allow_head=False)
    return app


def refuse_foreign(url: str) -> None:
    """Take only http URLs of this machine, so that an agent is no door to anything else.

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

"""The HTTP side of every long-running command: health, readiness, metrics, extra routes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Final, Self

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from prometheus_client import REGISTRY, CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from mediafleet_common.serving.access import Access, LoopbackOnly, guarded
from mediafleet_common.serving.addresses import split_host_port
from mediafleet_common.serving.run import CannotStartError

Why = Callable[[], str | None]
"""`None` when all is well, else the reason in one sentence."""

_MAX_BODY_BYTES: Final = 64 * 1024
_KEEPALIVE_SECONDS: Final = 30.0
_SHUTDOWN_SECONDS: Final = 1.0
_METRICS_PART: Final = 0.1
"""Of the loop's time, at most, goes into the text of metrics."""
_BACKLOG: Final = 1024
"""Connections that wait to be accepted; one more is asked for again by its caller's kernel after 1,
2, 4, … seconds."""


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a log record of aiohttp is about our code, and not about a malformed request, which
    would cost a traceback each."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, BadHttpMessage)


logging.getLogger("aiohttp.server").addFilter(_is_ours)

# A `_created` series beside each counter says nothing that process start time does not.
disable_created_metrics()  # type: ignore[no-untyped-call]


def _always_well() -> str | None:
    return None


class Metrics:
    """The text of a registry, made once for all who ask for it meanwhile.

    It takes milliseconds of the loop that does everything else, and anybody may ask for it.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._due = 0.0
        """When the next text may be made, loop time."""
        self._making: dict[str, asyncio.Task[bytes]] = {}

    async def text(self, accept: str) -> tuple[bytes, str]:
        """As it is now or a moment later, and its content type."""
        encode, content_type = choose_encoder(accept)
        making = self._making.get(content_type)
        if making is None:
            making = asyncio.create_task(self._make(encode, content_type), name="metrics")
            self._making[content_type] = making
        return await asyncio.shield(making), content_type

    async def _make(self, encode: Callable[[CollectorRegistry], bytes], content_type: str) -> bytes:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._due - loop.time()))
        del self._making[content_type]
        began = time.thread_time()
        try:
            return encode(self._registry)
        finally:
            rest = (time.thread_time() - began) * (1 / _METRICS_PART - 1)
            self._due = loop.time() + rest


class HttpServer:
    """`/healthz`, `/readyz`, `/metrics`, `routes` and `reports` on one port, as an async context
    manager. Reports are answered only to those whom `access` lets in.

    `/readyz` and `/healthz` answer 200 `ok`, or 503 with the reason that `ready` or `healthy`
    gives. `listen` is `HOST:PORT`; port 0 takes a free one, told by `port` once started. With
    `cancels`
    the work for a request ends when its caller goes.

    Raises:
        CannotStartError: on entering, when the address cannot be listened on.
    """

    def __init__(
        self,
        listen: str,
        ready: Why,
        healthy: Why = _always_well,
        routes: Iterable[web.RouteDef] = (),
        registry: CollectorRegistry = REGISTRY,
        *,
        cancels: bool = False,
        reports: Iterable[web.RouteDef] = (),
        access: Access | None = None,
    ) -> None:
        self._listen = listen
        self._cancels = cancels
        self._access = access or LoopbackOnly()
        self._keeping: asyncio.Task[None] | None = None
        self._shown = Metrics(registry)
        self._app = web.Application(client_max_size=_MAX_BODY_BYTES)
        self._app.add_routes(
            [
                web.get("/healthz", _health(healthy)),
                web.get("/readyz", _health(ready)),
                web.get("/metrics", self._metrics),
                *routes,
                *(guarded(each, self._access) for each in reports),
            ]
        )
        self._runner: web.AppRunner | None = None
        self._port: int | None = None

    @property
    def port(self) -> int:
        """The port in use; only once started."""
        if self._port is None:
            raise RuntimeError("the HTTP server is not started")
        return self._port

    async def __aenter__(self) -> Self:
        host, port = split_host_port(self._listen)
        runner = web.AppRunner(
            self._app,
            access_log=None,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            handler_cancellation=self._cancels,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        except OSError as error:
            await runner.cleanup()
            raise CannotStartError(f"cannot listen on {self._listen}: {error}") from error
        self._runner = runner
        self._port = int(runner.addresses[0][1])
        self._keeping = asyncio.create_task(self._access.run(), name="access")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        body, content_type = await self._shown.text(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})


def _health(why: Why) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        reason = why()
        return web.Response(text=reason or "ok", status=503 if reason else 200)

    return answer

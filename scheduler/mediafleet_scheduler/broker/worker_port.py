"""The one TLS port of workers: HTTP/2 for registrations and results, HTTP/1.1 for inputs.

Which of the two a connection speaks, the handshake says (ALPN). Workers do not verify the
certificate (go-livepeer server/ai_worker.go).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Final, Protocol, Self, cast

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from mediafleet_common.serving.addresses import split_host_port
from mediafleet_common.serving.http2 import (
    Handler,
    Http2Connection,
    Limits,
    Stream,
    StreamClosedError,
)
from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.broker import registrations, results
from mediafleet_scheduler.broker.inputs import Inputs
from mediafleet_scheduler.broker.registrations import Registrations
from mediafleet_scheduler.broker.results import Results

_CLOSE_SECONDS: Final = 0.2
"""For connections to end when the broker does: their workers come back to the next one."""
MOST_CONNECTIONS: Final = 8192
_BROKEN_OFF: Final = (
    web.RequestPayloadError,
    HttpProcessingError,
    aiohttp.ClientError,
    ConnectionError,
)
_BACKLOG: Final = 1024
"""Connections that wait to be accepted: workers come back together after a broker's restart."""


class _Http2Post:
    """A result that came by HTTP/2."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def headers(self) -> Mapping[str, str]:
        return self._stream.headers

    def let_in(self) -> None:
        self._stream.let_in()

    def body(self) -> AsyncIterator[bytes]:
        return self._stream.body()


class _Http1Post:
    """A result that came by HTTP/1.1."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request

    @property
    def headers(self) -> Mapping[str, str]:
        return {name.lower(): value for name, value in self._request.headers.items()}

    def let_in(self) -> None:
        """Nothing to do: the reader of HTTP/1.1 holds its sender back."""

    async def body(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._request.content.iter_any():
                yield chunk
        except _BROKEN_OFF as error:
            raise StreamClosedError from error


class Others(Protocol):
    """Other brokers, for inputs that lie there, and what they ask."""

    async def input(self, request: web.BaseRequest) -> web.StreamResponse | None: ...

    def asked(self, request: web.BaseRequest) -> web.Response: ...


class WorkerPort:
    """Listens on one port. An async context manager.

    Raises:
        CannotStartError: on entering, when the address cannot be listened on.
    """

    def __init__(
        self,
        listen: str,
        context: ssl.SSLContext,
        registration: Registrations,
        results_: Results,
        inputs: Inputs,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        *,
        handshake_seconds: float,
        others: Others | None = None,
    ) -> None:
        self._others = others
        self._handshake_seconds = handshake_seconds
        context.set_alpn_protocols(["h2", "http/1.1"])
        self._listen = listen
        self._context = context
        self._registration = registration
        self._results = results_
        self._inputs = inputs
        self._limits = limits
        self._server: asyncio.Server | None = None
        self._http1: web.Server | None = None
        self._open: set[_Either] = set()
        self._changed = asyncio.Event()

    @property
    def port(self) -> int:
        """The port in use; only once started."""
        if self._server is None:
            raise RuntimeError("the port is not listened on")
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        host, port = split_host_port(self._listen)
        self._http1 = web.Server(self._over_http1, access_log=None, keepalive_timeout=30.0)
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._accept,
                host,
                port,
                backlog=_BACKLOG,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_seconds,
                ssl_shutdown_timeout=_CLOSE_SECONDS,
            )
        except OSError as error:
            raise CannotStartError(f"cannot listen on {self._listen}: {error}") from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        for each in tuple(self._open):
            each.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                while self._open:
                    self._changed.clear()
                    await self._changed.wait()
        for each in tuple(self._open):
            each.abort()
        if self._http1 is not None:
            await self._http1.shutdown(_CLOSE_SECONDS)
        if self._server is not None:
            await self._server.wait_closed()

    def _accept(self) -> _Either:
        if self._http1 is None:
            raise RuntimeError("the port is not listened on")
        return _Either(self._over_http2, self._http1, self._limits, self._gone, self._open)

    def _gone(self, each: _Either) -> None:
        self._open.discard(each)
        self._changed.set()

    async def _over_http2(self, stream: Stream) -> None:
        if stream.method == "POST" and stream.path in (
            registrations.PATH,
            registrations.EARLIER_PATH,
        ):
            await self._registration.serve(stream)
        elif stream.method == "POST" and stream.path == results.PATH:
            status, words = await self._results.take(_Http2Post(stream))
            await stream.respond(status, words.encode())
        else:
            await stream.respond(404)

    async def _over_http1(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.transport and request.transport.get_protocol()
        if isinstance(connection, _Either):
            connection.asked()
        if request.method == "POST" and request.path == results.PATH:
            try:
                status, words = await self._results.take(_Http1Post(request))
            except StreamClosedError:
                status, words = 400, "the result was broken off"
            return web.Response(status=status, text=words)
        if request.method == "HEAD" and request.path == results.PATH and self._others is not None:
            return self._others.asked(request)
        file = self._inputs.find(request.path) if request.method == "GET" else None
        if file is not None:
            return web.FileResponse(file)
        asked = self._others if request.method == "GET" else None
        answer = None if asked is None else await asked.input(request)
        return web.Response(status=404) if answer is None else answer


class _Either(asyncio.Protocol):
    """A connection whose protocol the handshake chooses."""

    def __init__(
        self,
        handle: Handler,
        http1: web.Server,
        limits: Limits,
        gone: Callable[[_Either], None],
        open_: set[_Either],
    ) -> None:
        self._handle = handle
        self._http1 = http1
        self._limits = limits
        self._gone = gone
        self._open = open_
        self._inner: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._first: asyncio.TimerHandle | None = None
        """Ends a connection by HTTP/1.1 that asks for nothing; HTTP/2 sees to its own."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if len(self._open) >= MOST_CONNECTIONS:
            self._transport.abort()
            return
        self._open.add(self)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            self._inner = Http2Connection(self._handle, self._limits)
        else:
            self._inner = self._http1()
            within = self._limits.first_request_within
            self._first = asyncio.get_running_loop().call_later(within, self.abort)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._inner is None else self._inner.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._gone(self)
        self.asked()
        if self._inner is not None:
            self._inner.connection_lost(error)
        # What refers to each other would wait for the collector.
        self._inner = self._transport = None

    def asked(self) -> None:
        """A request has come."""
        if self._first is not None:
            self._first.cancel()
            self._first = None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def close(self) -> None:
        """End the connection."""
        if isinstance(self._inner, Http2Connection):
            self._inner.close()
        elif self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

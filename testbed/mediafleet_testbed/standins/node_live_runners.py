"""A stand-in node's live runners, and `GET /discovery` on the port of its gRPC, as go-livepeer has.

Sources: livepeer/go-livepeer ai/runner/live_runner.go (StaticLiveRunnerConfig,
LiveRunnerDiscoveryRunner), server/ai_http.go (DiscoverLiveRunners). By HTTP/1.1 only: what comes by
HTTP/2 is taken for gRPC, since Python's server can share no port.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

_PREFACE: Final = b"PRI * HTTP/2.0"


@dataclass(frozen=True, slots=True)
class LiveRunner:
    """One entry of -liveRunnerConfig."""

    app: str
    url: str
    capacity: int


def live_runners(file: str) -> tuple[LiveRunner, ...]:
    """The runners of a config file.

    Raises:
        ValueError, KeyError: it is not one.
        OSError: it cannot be read.
    """
    entries = json.loads(Path(file).read_text(encoding="utf-8"))["runners"]
    return tuple(
        LiveRunner(each["app"], each["runner_url"], int(each.get("capacity", 1)))
        for each in entries
    )


def discovery_app(
    address: Callable[[], str], runners: Sequence[LiveRunner], used: Mapping[str, int]
) -> web.Application:
    """What answers `GET /discovery`; `used`: sessions under way, by app."""

    async def discovery(_: web.Request) -> web.Response:
        told = [
            {
                "url": each.url,
                "app": each.app,
                "capacity": each.capacity,
                "capacity_used": used.get(each.app, 0),
                "capacity_available": each.capacity - used.get(each.app, 0),
            }
            for each in runners
        ]
        entry: dict[str, object] = {"address": address()}
        # Go's omitempty: an empty list is not there.
        return web.json_response([entry | ({"runners": told} if told else {})])

    app = web.Application()
    app.router.add_get("/discovery", discovery)
    return app


def tls_context(key: bytes, certificate: bytes) -> ssl.SSLContext:
    """The node's TLS, with HTTP/2 and HTTP/1.1 on one port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with tempfile.NamedTemporaryFile() as file:
        file.write(key + certificate)
        file.flush()
        context.load_cert_chain(file.name)
    return context


@contextlib.asynccontextmanager
async def shared_port(
    host: str, port: int, grpc: int, http: int, tls: ssl.SSLContext | None
) -> AsyncIterator[int]:
    """A port whose HTTP/2 goes to one of loopback, and whose HTTP/1.1 to another."""
    links: set[asyncio.Task[None]] = set()

    async def link(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            first = await reader.readexactly(len(_PREFACE))
            inner = grpc if first == _PREFACE else http
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", inner)
            with contextlib.closing(inner_writer):
                inner_writer.write(first)
                both = [_pass_on(reader, inner_writer), _pass_on(inner_reader, writer)]
                tasks = [asyncio.ensure_future(each) for each in both]
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for each in tasks:
                        each.cancel()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(link(reader, writer))
        links.add(task)
        task.add_done_callback(links.discard)

    server = await asyncio.start_server(connected, host, port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in list(links):
            each.cancel()
        await asyncio.gather(*links, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await reader.read(1 << 16):
            writer.write(block)
            await writer.drain()

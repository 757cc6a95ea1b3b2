"""A GET-only HTTP server of a few lines: thirty stand-ins share two cores with a cluster."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final

Page = Callable[[], str]
_TIMEOUT_SECONDS: Final = 5.0


async def serve(host: str, port: int, pages: Mapping[str, Page]) -> asyncio.Server:
    """Answer GETs of the pages; anything else is 404. To be closed by the caller."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode("ascii", "replace").split("?")[0]
                page = pages.get(path)
                body = page().encode() if page else b"not found\n"
                status = b"200 OK" if page else b"404 Not Found"
                writer.write(
                    b"HTTP/1.1 " + status + b"\r\nContent-Type: text/plain; charset=utf-8\r\n"
                    b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                )
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    return await asyncio.start_server(connected, host, port)


def split(listen: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; no host means all addresses."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)

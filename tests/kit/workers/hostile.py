"""What no client of ours would send, as bytes, to the doors of a broker."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from collections.abc import Sequence

import h2.config
import h2.connection
import h2.events
import h2.exceptions

Header = tuple[bytes, bytes]

_SECONDS = 20.0
_ANSWERED = (
    h2.events.ResponseReceived,
    h2.events.StreamReset,
    h2.events.ConnectionTerminated,
)


@functools.cache
def _tls(protocol: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context


async def _opened(
    port: int, protocol: str | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = None if protocol is None else _tls(protocol)
    return await asyncio.open_connection("127.0.0.1", port, ssl=context)


def http1(method: bytes, path: bytes, headers: Sequence[Header], body: bytes) -> bytes:
    """A request whose connection ends with the answer."""
    lines = [
        method + b" " + path + b" HTTP/1.1",
        b"Host: 127.0.0.1",
        b"Connection: close",
        b"Content-Length: %d" % len(body),
        *(name + b": " + value for name, value in headers),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def by_http1(port: int, data: bytes, *, tls: bool, whole: bool) -> bytes:
    """The answer to these bytes; to some of them, which is none, if not `whole`."""
    with contextlib.suppress(OSError):
        reader, writer = await _opened(port, "http/1.1" if tls else None)
        try:
            writer.write(data if whole else data[: len(data) * 2 // 3])
            await writer.drain()
            if whole:
                async with asyncio.timeout(_SECONDS):
                    return await reader.read()
        finally:
            writer.transport.abort()
    return b""


async def by_http2(port: int, headers: Sequence[Header], body: bytes, *, whole: bool) -> None:
    """A request with headers that a client would not let through; ended, if it is whole."""
    config = h2.config.H2Configuration(
        validate_outbound_headers=False, normalize_outbound_headers=False
    )
    client = h2.connection.H2Connection(config)
    client.initiate_connection()
    client.send_headers(1, list(headers))
    for start in range(0, min(len(body), 32_768), 16_384):
        client.send_data(1, body[start : start + 16_384])
    if whole:
        client.end_stream(1)
    with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
        reader, writer = await _opened(port, "h2")
        try:
            writer.write(client.data_to_send())
            await writer.drain()
            async with asyncio.timeout(_SECONDS):
                while whole and (data := await reader.read(65_536)):
                    if any(isinstance(each, _ANSWERED) for each in client.receive_data(data)):
                        return
        finally:
            writer.transport.abort()


async def frames(port: int, data: bytes) -> None:
    """Bytes after the greeting of HTTP/2."""
    with contextlib.suppress(OSError):
        _, writer = await _opened(port, "h2")
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + data)
        await writer.drain()
        writer.transport.abort()

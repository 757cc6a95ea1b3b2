"""Stands before a real Redis, and does one thing wrong to those who come through it.

It reads whole commands and replies (RESP2 and RESP3). A connection that subscribes is passed on
both ways from then on; any other one command after the other, each with its reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, NoReturn, Self

from tests.kit.faults.redises.plans import (
    FAILOVERS,
    ON_MESSAGES,
    REFUSALS,
    RedisCourse,
    RedisFault,
    RedisPlan,
)

from mediafleet_scheduler.egress.peers import announcements

SLOW_SECONDS: Final = 0.75
"""Times of desks in these tests are a quarter of the product's: it stands for 3 s."""
BEHIND: Final = 3
"""Commands that a stale replica lacks."""
_SET_UP: Final = frozenset({b"HELLO", b"AUTH", b"CLIENT", b"SELECT", b"PING", b"COMMAND"})
_SUBSCRIBING: Final = frozenset({b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE"})
_NOT_ON_DATA: Final = _SUBSCRIBING | {b"UNSUBSCRIBE", b"PUBLISH", b"SCRIPT"}
_OWN_TIMES: Final = announcements.CHANNEL.encode()
"""Messages on it come at their own times: they are no part of a story."""
_ENDED: Final = (ConnectionError, asyncio.IncompleteReadError)

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _never() -> None:
    raise AssertionError("no plan asks for it")


@dataclass
class RedisTraffic:
    """What went through, and what the plan does to it."""

    plan: RedisPlan | None = None
    counts: Callable[[bytes], bool] = lambda _: True
    """Whether a command is part of the story."""
    on_copy: Callable[[], Awaitable[None]] = _never
    """The replica catches up for the last time."""
    on_failover: Callable[[], Awaitable[None]] = _never
    commands: list[str] = field(default_factory=list)
    on_data: int = 0
    messages: int = 0
    struck: bool = False
    """Whether what the plan says has happened."""
    copied: bool = False

    @property
    def course(self) -> RedisCourse:
        """How much went through."""
        return RedisCourse(len(self.commands), self.on_data, self.messages)

    async def command(self, frame: bytes) -> RedisFault | None:
        """A command has come; its fault."""
        name = name_of(frame)
        own_times = name == b"PUBLISH" and _OWN_TIMES in frame[:200]
        if name in _SET_UP or own_times or not self.counts(frame):
            return None
        self.commands.append(name.decode())
        self.on_data += name not in _NOT_ON_DATA
        plan = self.plan
        if plan is None or self.struck or plan.fault in ON_MESSAGES:
            return None
        near = len(self.commands) >= plan.nth - BEHIND
        if plan.fault is RedisFault.STALE and near and not self.copied:
            self.copied = True
            await self.on_copy()
        if plan.fault in REFUSALS and name in _NOT_ON_DATA:
            return None
        return self._met(self.on_data if plan.fault in REFUSALS else len(self.commands))

    def message(self, frame: bytes) -> RedisFault | None:
        """A message has come from Redis; its fault."""
        if _OWN_TIMES in frame[:200]:
            return None
        self.messages += 1
        if self.plan is None or self.struck or self.plan.fault not in ON_MESSAGES:
            return None
        return self._met(self.messages)

    def _met(self, count: int) -> RedisFault | None:
        if self.plan is None or count < self.plan.nth:
            return None
        self.struck = True
        return self.plan.fault


class Front:
    """A port that leads to whichever Redis is the primary. An async context manager."""

    def __init__(self, primary: Callable[[], int], traffic: RedisTraffic | None = None) -> None:
        """`primary`: its port now. Without traffic nothing goes wrong."""
        self._primary = primary
        self._traffic = traffic or RedisTraffic()
        self._open: set[asyncio.StreamWriter] = set()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """End all connections at once."""
        for each in tuple(self._open):
            each.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_connection("127.0.0.1", self._primary())
        except OSError:
            writer.transport.abort()
            return
        both = {writer, server[1]}
        self._open |= both
        try:
            await self._talk((reader, writer), server)
        except _ENDED:
            pass
        finally:
            self._open -= both
            for each in both:
                each.close()

    async def _talk(self, client: Connection, server: Connection) -> None:
        while True:
            frame = await frame_of(client[0])
            if name_of(frame) in _SUBSCRIBING:
                await self._listen(frame, client, server)
                return
            fault = await self._before(frame, client)
            if fault in REFUSALS:
                continue
            server[1].write(frame)
            reply = await frame_of(server[0])
            if fault is RedisFault.SLOW:
                await asyncio.sleep(SLOW_SECONDS)
            if fault is RedisFault.REPLY_LOST:
                _reset(client)
            if fault is RedisFault.CUT:
                client[1].write(reply[: len(reply) // 2])
                return
            client[1].write(reply)

    async def _before(self, frame: bytes, client: Connection) -> RedisFault | None:
        """What happens before a command is passed on; its fault."""
        fault = await self._traffic.command(frame)
        if fault in FAILOVERS:
            await self._traffic.on_failover()
            _reset(client)
        if fault is RedisFault.RESET_BEFORE:
            _reset(client)
        if fault is not None and fault in REFUSALS:
            client[1].write(REFUSALS[fault])
        return fault

    async def _listen(self, first: bytes, client: Connection, server: Connection) -> None:
        """Pass on what a connection asks that subscribes, and beside it what it hears."""
        passing = {
            asyncio.create_task(self._asks(first, client, server)),
            asyncio.create_task(self._hears(client, server)),
        }
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in passing:
                each.cancel()
            await asyncio.gather(*passing, return_exceptions=True)

    async def _asks(self, frame: bytes, client: Connection, server: Connection) -> None:
        while True:
            fault = await self._before(frame, client)
            if fault is RedisFault.SLOW:
                await asyncio.sleep(SLOW_SECONDS)
            if fault not in REFUSALS:
                server[1].write(frame)
            if fault in (RedisFault.REPLY_LOST, RedisFault.CUT):
                await server[1].drain()
                _reset(client)
            frame = await frame_of(client[0])

    async def _hears(self, client: Connection, server: Connection) -> None:
        held: bytes | None = None
        while True:
            frame = await frame_of(server[0])
            fault = self._traffic.message(frame) if is_message(frame) else None
            if fault is RedisFault.SWAPPED:
                held = frame
                continue
            copies = {RedisFault.DROPPED: 0, RedisFault.DOUBLED: 2}.get(fault, 1) if fault else 1
            for _ in range(copies):
                client[1].write(frame)
            if held is not None and is_message(frame):
                client[1].write(held)
                held = None


async def frame_of(reader: asyncio.StreamReader) -> bytes:
    """The next whole command or reply.

    Raises:
        asyncio.IncompleteReadError, ConnectionError: there is none any more.
    """
    head = await reader.readuntil(b"\r\n")
    kind, size = head[:1], head[1:-2]
    if kind in (b"$", b"=", b"!"):
        return head if size == b"-1" else head + await reader.readexactly(int(size) + 2)
    if kind in (b"*", b"~", b">", b"%"):
        count = max(0, int(size)) * (2 if kind == b"%" else 1)
        return head + b"".join([await frame_of(reader) for _ in range(count)])
    return head


def name_of(frame: bytes) -> bytes:
    """Name of a command, in capital letters."""
    parts = frame.split(b"\r\n", 3)
    return parts[2].upper() if len(parts) > 2 else b""


def is_message(frame: bytes) -> bool:
    """Whether a reply is a published message."""
    return frame[:1] in (b"*", b">") and name_of(frame) == b"MESSAGE"


def _reset(connection: Connection) -> NoReturn:
    """Break a connection without a word."""
    connection[1].transport.abort()
    raise ConnectionResetError

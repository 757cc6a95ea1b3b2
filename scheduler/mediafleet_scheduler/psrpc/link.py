"""A connection to Redis that is written to and heard at once, without tasks and streams between.

redis-py connects and introduces itself (address, credentials, TLS, sentinels); then its transport
is taken over, since its streams cost several times what a message itself does. It gives the
transport in no public way; connecting ourselves would repeat its credentials, TLS and sentinels.
tests/contract/test_link.py fails when redis-py changes what is taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Self, cast

import redis.asyncio as redis
from redis.asyncio.connection import AbstractConnection

from mediafleet_scheduler.psrpc.resp import Parser, Reply
from mediafleet_scheduler.psrpc.times import BusTimes

OnReply = Callable[[Reply], None]
Rest = Callable[[int], float]
"""For how many seconds nothing is read after so many replies that came together."""

_UNAWAITED_SECONDS: Final = 0.02
_TICK_MS: Final = 20
_GATHER_FROM: Final = 4
_GATHER_SECONDS_EACH: Final = 0.001
_MOST_GATHER_SECONDS: Final = 0.004


def no_rest(_: int) -> float:
    """Each reply is waited for."""
    return 0.0


def rest_unawaited(_: int) -> float:
    """Nobody waits for the replies: to wake up for each costs more than it does."""
    return _UNAWAITED_SECONDS


def rest_when_busy(replies: int) -> float:
    """Where many come together more are on their way, and to wake up for each of them costs more
    than what it brings. One start alone brings fewer at a time, and is never kept waiting."""
    return min(_MOST_GATHER_SECONDS, _GATHER_SECONDS_EACH * max(0, replies - _GATHER_FROM))


def to_tick(seconds: float, now: float) -> float:
    """The part of a long rest that ends with a tick, which is the same for all connections: they
    are looked at by one wake-up. `now` is the event loop's time."""
    rest_ms = round(1000 * seconds)
    return seconds if rest_ms < _TICK_MS else (rest_ms - round(1000 * now) % _TICK_MS) / 1000


class Link(asyncio.Protocol):
    """One connection; `lost` ends with the error that ended it."""

    def __init__(
        self,
        on_reply: OnReply,
        on_writable: Callable[[], None],
        rest: Rest = no_rest,
        *,
        text: bool = False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.lost: Final[asyncio.Future[None]] = self._loop.create_future()
        self.writable = True
        """Whether more may be written; else what is written waits in memory."""
        self._on_reply = on_reply
        self._on_writable = on_writable
        self._rest = rest
        self._held = False
        self._resting: asyncio.TimerHandle | None = None
        self._parser = Parser(text=text)
        self._transport: asyncio.Transport | None = None
        self._connection: AbstractConnection | None = None

    @classmethod
    async def open(
        cls,
        client: redis.Redis,
        on_reply: OnReply,
        on_writable: Callable[[], None],
        connect_seconds: float = BusTimes().connect_seconds,
        rest: Rest = no_rest,
        *,
        text: bool = False,
    ) -> Self:
        """A connection of the client's kind, within so long; it rests between two looks at what
        came. `text`: its replies are `str`, not bytes.

        Raises:
            RedisError, OSError, TimeoutError: there is none to be had.
        """
        connection: AbstractConnection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(connect_seconds):
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        link = cls(on_reply, on_writable, rest, text=text)
        writer = connection._writer
        if writer is None:
            raise ConnectionError("connected without a connection")
        link._connection = connection
        link._transport = cast("asyncio.Transport", writer.transport)
        link._transport.set_protocol(link)
        return link

    def write(self, data: bytes) -> None:
        """Send."""
        if self._transport is not None:
            self._transport.write(data)

    def hold(self, held: bool) -> None:
        """Read nothing more until it is held no more: what comes waits on the other side."""
        self._held = held
        if self._transport is not None:
            (self._transport.pause_reading if held else self._transport.resume_reading)()

    def read_on(self) -> None:
        """Rest no more."""
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._transport is not None and not self._held:
            self._transport.resume_reading()

    async def close(self, error: Exception | None = None) -> None:
        """End it."""
        self._end(error)
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        try:
            replies = self._parser.feed(data)
            for reply in replies:
                self._on_reply(reply)
        except ConnectionError as error:
            self._end(error)
            return
        seconds = self._rest(len(replies))
        if seconds > 0 and self._transport is not None:
            self._transport.pause_reading()
            self._resting = self._loop.call_later(to_tick(seconds, self._loop.time()), self.read_on)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side is gone."""
        self._end(exc or ConnectionError("Redis closed the connection"))

    def pause_writing(self) -> None:
        """Redis takes less than is written."""
        self.writable = False

    def resume_writing(self) -> None:
        """Redis has caught up."""
        self.writable = True
        self._on_writable()

    def _end(self, error: Exception | None) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if not self.lost.done():
            self.lost.set_exception(error or ConnectionError("closed"))
            self.lost.exception()  # Marked as seen: nobody may wait for it.

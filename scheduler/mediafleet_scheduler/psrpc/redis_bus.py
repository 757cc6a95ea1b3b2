"""The bus over Redis pub/sub: one connection listens, one publishes, both come back by themselves.

Only exact channels are subscribed to: a pattern would cost on every message of the server. The
database number means nothing to pub/sub. Source: livekit/psrpc internal/bus/bus_redis.go.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

import redis.asyncio as redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from mediafleet_scheduler.psrpc.bus import OnTrouble, Receiver, Receivers, Trouble, ignore
from mediafleet_scheduler.psrpc.errors import BusClosedError

MAX_QUEUED: Final = 20_000
"""Messages that wait for Redis; more are dropped, as pub/sub promises nothing."""
MAX_WAIT_SECONDS: Final = 2.0
"""A message that Redis could not be given for so long is dropped: its reader has given up."""
_BATCH: Final = 256
_FIRST_DELAY_SECONDS: Final = 0.05
_MAX_DELAY_SECONDS: Final = 1.0
_CONNECT_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 5.0
_SUBSCRIBE_SECONDS: Final = 30.0
_PING_EVERY_SECONDS: Final = 5.0
_SILENCE_SECONDS: Final = 15.0
"""A listening connection that has not even answered a ping for so long is taken for dead."""

_log: Final = logging.getLogger(__name__)
_FAILURES: Final = (RedisError, OSError, TimeoutError, asyncio.IncompleteReadError)


class RedisBus:
    """A bus over the Redis of a client, as an async context manager.

    The client gives connections (address, credentials, TLS, sentinels); it stays the caller's.
    Entering waits until Redis answers once, so that a wrong address is told at the start.

    Raises:
        RedisError, OSError: on entering, when Redis does not answer.
    """

    def __init__(self, client: redis.Redis, on_trouble: OnTrouble = ignore) -> None:
        self._client = client
        self._on_trouble = on_trouble
        self._receivers = Receivers(on_trouble)
        self._queue: collections.deque[tuple[float, str, bytes]] = collections.deque()
        self._queued = asyncio.Event()
        self._listening: AbstractConnection | None = None
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._heard_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        async with asyncio.timeout(_CONNECT_SECONDS):
            first = await self._connect()
        await first.disconnect()
        self._tasks = [
            asyncio.create_task(self._forever("listening", self._listen), name="redis-listen"),
            asyncio.create_task(self._forever("publishing", self._publish), name="redis-publish"),
            asyncio.create_task(self._watch(), name="redis-watch"),
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    @property
    def connected(self) -> bool:
        """Whether the listening connection stands."""
        return self._listening is not None

    def publish(self, channel: str, data: bytes) -> None:
        """Queue a message for Redis; dropped and counted when too many wait."""
        if len(self._queue) >= MAX_QUEUED:
            self._on_trouble(Trouble.DROPPED)
            return
        self._queue.append((time.monotonic(), channel, data))
        self._queued.set()

    async def subscribe(self, channel: str, receive: Receiver) -> RedisSubscription:
        """Listen; returns once Redis has confirmed, and after a lost connection listens again.

        Raises:
            BusClosedError: the bus is not open, or Redis has been away for too long.
        """
        if not self._tasks:
            raise BusClosedError("the bus is not open")
        if self._receivers.add(channel, receive):
            confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(channel, []).append(confirmed)
            await self._ask("SUBSCRIBE", channel)
            await self._confirmed(channel, confirmed)
        elif others := self._waiting.get(channel):
            await self._confirmed(channel, others[-1])
        return RedisSubscription(self, channel, receive)

    async def unsubscribe(self, channel: str, receive: Receiver) -> None:
        """Stop listening."""
        if self._receivers.remove(channel, receive):
            await self._ask("UNSUBSCRIBE", channel)

    async def _confirmed(self, channel: str, confirmed: asyncio.Future[None]) -> None:
        try:
            async with asyncio.timeout(_SUBSCRIBE_SECONDS):
                await asyncio.shield(confirmed)
        except TimeoutError as error:
            raise BusClosedError(f"Redis has not confirmed channel {channel}") from error

    async def _ask(self, command: str, channel: str) -> None:
        """Ask the listening connection, if it stands: a new one subscribes to all by itself."""
        if self._listening is not None:
            with contextlib.suppress(*_FAILURES):
                await self._listening.send_command(command, channel)

    async def _connect(self) -> AbstractConnection:
        connection: AbstractConnection = self._client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def _forever(
        self, what: str, work: Callable[[AbstractConnection], Awaitable[None]]
    ) -> None:
        """Do `work` on a connection; when it is lost, on a new one, with growing pauses."""
        delay = _FIRST_DELAY_SECONDS
        while True:
            began = time.monotonic()
            try:
                connection = await self._connect()
                try:
                    await work(connection)
                finally:
                    await connection.disconnect(nowait=True)
            except _FAILURES as error:
                self._on_trouble(Trouble.CONNECTION_LOST)
                why = str(error) or type(error).__name__
                _log.warning("%s on Redis failed, trying again: %s", what, why)
            if time.monotonic() - began > _MAX_DELAY_SECONDS:
                delay = _FIRST_DELAY_SECONDS
            await asyncio.sleep(delay * random.uniform(0.5, 1))
            delay = min(delay * 2, _MAX_DELAY_SECONDS)

    async def _listen(self, connection: AbstractConnection) -> None:
        if channels := tuple(self._receivers.channels):
            await connection.send_command("SUBSCRIBE", *channels)
        self._listening = connection
        self._heard_at = time.monotonic()
        try:
            while True:
                reply = await connection.read_response(
                    disable_decoding=True, timeout=math.inf, push_request=True
                )
                self._heard_at = time.monotonic()
                self._take(reply)
        finally:
            self._listening = None

    def _take(self, reply: object) -> None:
        match reply:
            case [b"message", bytes() as channel, bytes() as data]:
                self._receivers.deliver(channel.decode(errors="replace"), data)
            case [b"subscribe", bytes() as channel, _]:
                for confirmed in self._waiting.pop(channel.decode(errors="replace"), ()):
                    if not confirmed.done():
                        confirmed.set_result(None)

    async def _watch(self) -> None:
        """Notice a connection that died without a word."""
        while True:
            await asyncio.sleep(_PING_EVERY_SECONDS)
            connection = self._listening
            if connection is None:
                continue
            if time.monotonic() - self._heard_at > _SILENCE_SECONDS:
                _log.warning("Redis has been silent for %.0f s", _SILENCE_SECONDS)
                await connection.disconnect(nowait=True)
                continue
            with contextlib.suppress(*_FAILURES):
                await connection.send_command("PING")

    async def _publish(self, connection: AbstractConnection) -> None:
        while True:
            await self._queued.wait()
            batch = self._batch()
            if not batch:
                self._queued.clear()
                continue
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    commands = [("PUBLISH", channel, data) for _, channel, data in batch]
                    await connection.send_packed_command(connection.pack_commands(commands))
                    for _ in batch:
                        await connection.read_response(disable_decoding=True, timeout=math.inf)
            except BaseException:
                # Perhaps some were heard: psrpc takes a message heard twice for one.
                self._queue.extendleft(reversed(batch))
                raise

    def _batch(self) -> list[tuple[float, str, bytes]]:
        """The next messages to send, without those that nobody waits for any more."""
        oldest = time.monotonic() - MAX_WAIT_SECONDS
        batch: list[tuple[float, str, bytes]] = []
        while self._queue and len(batch) < _BATCH:
            message = self._queue.popleft()
            if message[0] < oldest:
                self._on_trouble(Trouble.DROPPED)
            else:
                batch.append(message)
        return batch


class RedisSubscription:
    """One receiver on one channel of a `RedisBus`."""

    def __init__(self, bus: RedisBus, channel: str, receive: Receiver) -> None:
        self._bus = bus
        self._channel = channel
        self._receive = receive

    async def close(self) -> None:
        """Stop receiving."""
        await self._bus.unsubscribe(self._channel, self._receive)

"""The bus over Redis pub/sub: one connection listens, one publishes, both come back by themselves.

Only exact channels are subscribed to: a pattern would cost on every message of the server. The
database number means nothing to pub/sub. Source: livekit/psrpc internal/bus/bus_redis.go.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import redis.asyncio as redis
from redis.exceptions import RedisError

from mediafleet_common.back_off import BackOff
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_scheduler.psrpc.bus import OnTrouble, Receiver, Receivers, Trouble, ignore
from mediafleet_scheduler.psrpc.errors import BusClosedError
from mediafleet_scheduler.psrpc.link import (
    Link,
    OnReply,
    Rest,
    rest_unawaited,
    rest_when_busy,
)
from mediafleet_scheduler.psrpc.outbox import Outbox
from mediafleet_scheduler.psrpc.resp import Refusal, Reply, command
from mediafleet_scheduler.psrpc.times import BusTimes

_FIRST_DELAY_SECONDS: Final = 0.05
"""Before a lost connection is opened again for the first time: most are there at once."""
_WATCH_EVERY_SECONDS: Final = 1.0
"""How often silence is looked at; no time that it is compared with is shorter."""

_log: Final = logging.getLogger(__name__)
_FAILURES: Final = (RedisError, OSError, TimeoutError)

Pace = Callable[[OnReply, Callable[[bool], None]], OnReply]
"""Takes what handles a reply and what stops reading; what is handed each reply that is read."""


def at_once(handle: OnReply, hold: Callable[[bool], None]) -> OnReply:
    """Where no reply waits."""
    del hold
    return handle


class RedisBus:
    """A bus over the Redis of a client, as an async context manager.

    The client gives connections (address, credentials, TLS, sentinels); it stays the caller's.
    Entering waits until Redis answers once, so that a wrong address is told at the start.

    Raises:
        RedisError, OSError: on entering, when Redis does not answer.
    """

    def __init__(
        self,
        client: redis.Redis,
        on_trouble: OnTrouble = ignore,
        clock: Clock = SYSTEM,
        times: BusTimes | None = None,
        pace: Pace = at_once,
        *,
        hears_late: bool = False,
    ) -> None:
        """`hears_late`: nobody waits for what it hears, which it reads some moments later, several
        messages at a time. It publishes nothing, and has no connection for it."""
        self._client = client
        self._on_trouble = on_trouble
        self._clock = clock
        self._times = times or BusTimes()
        self._receivers = Receivers(on_trouble)
        self._outbox = Outbox(on_trouble, clock, self._times)
        self._listening: Link | None = None
        self._hears_late = hears_late
        self._late = hears_late
        self._take = pace(self._heard, self._hold)
        self._held = False
        self._heard_at = 0.0
        self._waiting: dict[bytes, list[asyncio.Future[None]]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        first = await self._open(lambda _: None, rest_unawaited)
        await first.close()
        work = {
            "listening": self._forever("listening", self._take, self._listen_on, self._rest),
            "watching": self._watch(),
        }
        if not self._hears_late:
            work["publishing"] = self._forever(
                "publishing", self._outbox.confirmed, self._publish_on, rest_unawaited
            )
        self._tasks = [asyncio.create_task(w, name=f"redis {n}") for n, w in work.items()]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._outbox.flush()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    @property
    def connected(self) -> bool:
        """Whether the listening connection stands."""
        return self._listening is not None

    def hear_late(self, late: bool) -> None:
        """Whether nobody waits for what is heard from now on, as with `hears_late`."""
        woken = self._late and not late
        self._late = late
        if woken and self._listening is not None:
            self._listening.read_on()

    def publish(self, channel: str, data: bytes) -> None:
        """Send, or keep it for a moment while Redis is away; dropped and counted in the end."""
        self._outbox.put(command("PUBLISH", channel, data))

    async def subscribe(self, channel: str, receive: Receiver) -> RedisSubscription:
        """Listen; returns once Redis has confirmed, and after a lost connection listens again.

        Raises:
            BusClosedError: the bus is not open, or Redis has been away for too long.
        """
        if not self._tasks:
            raise BusClosedError("the bus is not open")
        name = channel.encode()
        if self._receivers.add(channel, receive):
            confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(name, []).append(confirmed)
            self._ask("SUBSCRIBE", channel)
            await self._confirmed(channel, confirmed)
        elif others := self._waiting.get(name):
            await self._confirmed(channel, others[-1])
        return RedisSubscription(self, channel, receive)

    def unsubscribe(self, channel: str, receive: Receiver) -> None:
        """Stop listening."""
        if self._receivers.remove(channel, receive):
            self._ask("UNSUBSCRIBE", channel)

    def _ask(self, *words: str) -> None:
        """Ask the listening connection, if it stands: a new one subscribes to all by itself."""
        if self._listening is not None:
            self._listening.write(command(*words))

    async def _confirmed(self, channel: str, confirmed: asyncio.Future[None]) -> None:
        try:
            async with asyncio.timeout(self._times.subscribe_seconds):
                await asyncio.shield(confirmed)
        except TimeoutError as error:
            raise BusClosedError(f"Redis has not confirmed channel {channel}") from error

    async def _forever(
        self,
        what: str,
        on_reply: OnReply,
        use: Callable[[Link | None], None],
        rest: Rest,
    ) -> None:
        """Keep a connection in use; when it is lost, a new one, with growing pauses."""
        longest = max(_FIRST_DELAY_SECONDS, self._times.max_pause_seconds)
        back_off = BackOff(_FIRST_DELAY_SECONDS, longest)
        while True:
            began = self._clock.monotonic()
            try:
                link = await self._open(on_reply, rest)
                try:
                    use(link)
                    await link.lost
                finally:
                    use(None)
                    await link.close()
            except _FAILURES as error:
                self._on_trouble(Trouble.CONNECTION_LOST)
                why = str(error) or type(error).__name__
                _log.warning("%s on Redis failed, trying again: %s", what, why)
            if self._clock.monotonic() - began > longest:
                back_off.reset()
            await asyncio.sleep(back_off.pause() * random.uniform(0.5, 1))

    async def _open(self, on_reply: OnReply, rest: Rest) -> Link:
        return await Link.open(
            self._client, on_reply, self._outbox.flush, self._times.connect_seconds, rest
        )

    def _publish_on(self, link: Link | None) -> None:
        self._outbox.use(link)

    def _listen_on(self, link: Link | None) -> None:
        self._listening = link
        self._heard_at = self._clock.monotonic()
        if link is not None and self._held:
            link.hold(True)
        if link is not None and (channels := tuple(self._receivers.channels)):
            link.write(command("SUBSCRIBE", *channels))

    def _rest(self, replies: int) -> float:
        return (rest_unawaited if self._late else rest_when_busy)(replies)

    def _hold(self, held: bool) -> None:
        self._held = held
        if self._listening is not None:
            self._listening.hold(held)

    def _heard(self, reply: Reply) -> None:
        self._heard_at = self._clock.monotonic()
        match reply:
            case [b"message", bytes() as channel, bytes() as data]:
                self._receivers.deliver(channel.decode(errors="replace"), data)
            case [b"subscribe", bytes() as channel, _]:
                for confirmed in self._waiting.pop(channel, ()):
                    if not confirmed.done():
                        confirmed.set_result(None)
            case Refusal():
                self._on_trouble(Trouble.REFUSED)
                _log.error("Redis refuses: %s", reply.text)

    async def _watch(self) -> None:
        """Notice connections that died without a word."""
        while True:
            await asyncio.sleep(_WATCH_EVERY_SECONDS)
            await self._outbox.watch()
            if (link := self._listening) is None:
                continue
            if self._held:
                # It is we who do not listen.
                self._heard_at = self._clock.monotonic()
                continue
            silence = self._clock.monotonic() - self._heard_at
            if silence > self._times.silence_seconds:
                await link.close(TimeoutError(f"Redis has been silent for {silence:.0f} s"))
            elif silence > self._times.ping_after_seconds:
                link.write(command("PING"))


class RedisSubscription:
    """One receiver on one channel of a `RedisBus`."""

    def __init__(self, bus: RedisBus, channel: str, receive: Receiver) -> None:
        self._bus = bus
        self._channel = channel
        self._receive = receive

    async def close(self) -> None:
        """Stop receiving."""
        self._bus.unsubscribe(self._channel, self._receive)

"""The Redis of a pool's origins: the day's key, and what each who sees gateways tells.

It must not persist anything: with the key gone nobody can find out who a name was. What is there
ends after 26 hours.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import redis.asyncio as redis
from redis.exceptions import RedisError, ResponseError

from mediafleet_common.cancellation import or_cancelled
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.core.community.origins.told import Heard, as_told, heard, key_id
from mediafleet_scheduler.core.community.sources import KEY_BYTES
from mediafleet_scheduler.core.community.stored import day_of
from mediafleet_scheduler.core.community.windows import Use
from mediafleet_scheduler.core.community.work import told
from mediafleet_scheduler.core.community.work.kinds import Kind, Work

KEPT_SECONDS: Final = 26 * 3600
_ANSWER_SECONDS: Final = 3.0


class ExchangeError(Exception):
    """The Redis cannot be used now; the text says why, and names no address."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pool's origins are told."""

    url: str
    """Redis, without a password."""
    pool: str
    """NAMESPACE/NAME."""
    password: str | None = None


def exchange_of(place: Place, clock: Clock = SYSTEM) -> Exchange:
    """A pool's part of a Redis.

    Raises:
        CannotStartError: the URL makes no sense.
    """
    try:
        client = redis.Redis.from_url(
            place.url,
            password=place.password,
            decode_responses=True,
            protocol=2,
            socket_connect_timeout=_ANSWER_SECONDS,
            socket_timeout=_ANSWER_SECONDS,
        )
    except (ValueError, TypeError) as error:
        # What it says quotes the URL, which may hold a password.
        raise CannotStartError("--origins-redis: write redis://HOST:PORT/DB") from error
    return Exchange(client, place.pool, clock)


@dataclass(slots=True)
class Exchange:
    """One pool's part of a Redis."""

    client: redis.Redis
    pool: str
    clock: Clock = SYSTEM
    _day: str = ""
    _key_id: str = ""
    _is_checked: bool = field(default=False)

    async def key(self) -> bytes:
        """Today's key, the same for all who ask.

        Raises:
            ExchangeError: there is none, or it is another one than before on this day.
        """
        day = day_of(self.clock.unix())
        fresh = secrets.token_bytes(KEY_BYTES).hex()
        name = f"mediafleet:community:{{{self.pool}}}:key:{day}"
        try:
            await self._refuse_persistence()
            await or_cancelled(self.client.set(name, fresh, nx=True, ex=KEPT_SECONDS))
            key = bytes.fromhex(str(await or_cancelled(self.client.get(name))))
        except (RedisError, OSError, ValueError) as error:
            raise ExchangeError(f"the Redis of origins: {_word(error)}") from error
        if len(key) != KEY_BYTES:
            raise ExchangeError("the Redis of origins holds no key of ours")
        if day != self._day:
            self._day, self._key_id = day, key_id(key)
        elif self._key_id != key_id(key):
            # Under two names one source would count as two.
            raise ExchangeError(
                "the Redis of origins was emptied: no origins until midnight UTC, or a restart"
            )
        return key

    async def tell(self, who: str, key: bytes, uses: Iterable[Use], why: str | None = None) -> None:
        """Say what this process sees now.

        Args:
            who: sees it; unique in the pool.
            key: under which the sources are named; after midnight, yesterday's tells nobody.
            uses: by these names.
            why: something to complain about.

        Raises:
            ExchangeError: it cannot be said.
        """
        await self._write(self._now, who, as_told(self.clock.unix(), key, uses, why))

    async def tell_work(
        self, who: str, key: bytes, work: Iterable[Work], kinds: Iterable[Kind]
    ) -> None:
        """Say what this process knows of work now.

        Args:
            who: knows it; unique in the pool.
            key: under which the sources are named; after midnight, yesterday's tells nobody.
            work: by these names.
            kinds: of which it knows.

        Raises:
            ExchangeError: it cannot be said.
        """
        text = told.as_told(self.clock.unix(), key, work, kinds)
        await self._write(self._work, who, text)

    async def hear(self) -> Heard:
        """What all say; who has stopped is forgotten.

        Raises:
            ExchangeError: it cannot be read.
        """
        key = await self.key()
        found = heard(await self._read(self._now), key, self.clock.unix())
        await self._forget(self._now, found.stale)
        return found

    async def hear_work(self) -> told.HeardWork:
        """What all say of work; who has stopped is forgotten.

        Raises:
            ExchangeError: it cannot be read.
        """
        key = await self.key()
        found = told.heard(await self._read(self._work), key, self.clock.unix())
        await self._forget(self._work, found.stale)
        return found

    async def close(self) -> None:
        """End the connections."""
        await self.client.aclose()

    @property
    def _now(self) -> str:
        return f"mediafleet:community:{{{self.pool}}}:now"

    @property
    def _work(self) -> str:
        return f"mediafleet:community:{{{self.pool}}}:work:now"

    async def _write(self, place: str, who: str, text: str) -> None:
        with _our_errors():
            async with self.client.pipeline() as both:
                both.hset(place, who, text)
                both.expire(place, KEPT_SECONDS)
                await or_cancelled(both.execute())

    async def _read(self, place: str) -> list[tuple[str, str]]:
        with _our_errors():
            texts: Any = await or_cancelled(self.client.hgetall(place))
        return sorted(texts.items())

    async def _forget(self, place: str, stale: Iterable[str]) -> None:
        with _our_errors():
            if names := sorted(stale):
                await or_cancelled(self.client.hdel(place, *names))

    async def _refuse_persistence(self) -> None:
        if self._is_checked:
            return
        try:
            snapshots: Any = await or_cancelled(self.client.config_get("save"))
            log: Any = await or_cancelled(self.client.config_get("appendonly"))
        except ResponseError:
            # A managed one does not say.
            snapshots, log = {}, {}
        if snapshots.get("save") or log.get("appendonly") == "yes":
            raise ExchangeError(
                "the Redis of origins writes to disk: give one with --save '' --appendonly no"
            )
        self._is_checked = True


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise ExchangeError(f"the Redis of origins: {_word(error)}") from error


def _word(error: Exception) -> str:
    # The text may quote an address.
    return type(error).__name__

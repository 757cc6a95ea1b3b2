"""The shared tasks in Redis, by the scripts of scripts.py.

Redis' client is 20 MB of a process: it is loaded only where there is a Redis.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mediafleet_common.cancellation import or_cancelled
from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.broker.shared import scripts
from mediafleet_scheduler.core.workers.choice.attempts import Given, given_of, given_text
from mediafleet_scheduler.core.workers.shared import Peer, peer_of

if TYPE_CHECKING:
    import redis.asyncio as redis

_PREFIX: Final = "mediafleet:{broker}:"
_MOST_AT_ONCE: Final = 64
"""Tasks of dead brokers that a beat takes over: the others take theirs meanwhile."""


class LedgerError(Exception):
    """Redis could not be asked; what was asked may have happened all the same."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A task of a broker that is gone, which is ours now."""

    id: str
    version: int
    record: str
    given: tuple[Given, ...] = ()
    """Its attempts there: their workers may post results yet."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What a sign of life brings."""

    epoch: str
    """Another one than before: Redis was emptied."""
    own: frozenset[str]
    """Ids of our tasks that have no answer."""
    taken: list[Taken]
    peers: list[Peer]
    """Brokers that are alive and can be reached, this one among them."""
    busy: frozenset[Peer | None]
    """Others that are not gone yet and have tasks without an answer; `None`: such as nobody can
    reach."""


@dataclass(frozen=True, slots=True)
class Known:
    """A task as Redis has it."""

    owner: str
    record: str
    answer: str | None


def client_of(url: str, password: str | None, answer_seconds: float) -> redis.Redis:
    """A client of the Redis at a URL.

    Raises:
        CannotStartError: the URL makes no sense.
    """
    import redis.asyncio as redis

    try:
        return redis.Redis.from_url(
            url,
            password=password,
            decode_responses=True,
            protocol=2,
            socket_connect_timeout=answer_seconds,
            socket_timeout=answer_seconds,
        )
    except (ValueError, TypeError) as error:
        # What it says quotes the URL, which may hold a password.
        raise CannotStartError("--redis: write redis://HOST:PORT/DB") from error


class Ledger:
    """The tasks of all brokers, as one of them sees and changes them.

    Raises:
        LedgerError: from each call.
    """

    def __init__(self, client: redis.Redis, broker: str, answer_seconds: float) -> None:
        self.broker: Final = broker
        self._client = client
        self._answer_seconds = answer_seconds
        self._beat = client.register_script(scripts.BEAT)
        self._put = client.register_script(scripts.PUT)
        self._given = client.register_script(scripts.GIVEN)
        self._answer = client.register_script(scripts.ANSWER)
        self._drop = client.register_script(scripts.DROP)

    async def beat(self, lease_seconds: float, me: Peer | None = None) -> Beat:
        """Be alive for a while, and take tasks of brokers that are not. `me`: how others reach it;
        `None`: they do not."""
        lease = _ms(lease_seconds)
        reached = "" if me is None else me.to_json()
        arguments = (self.broker, lease, _MOST_AT_ONCE, secrets.token_hex(8), reached)
        epoch, own, taken, alive, busy = await self._bounded(self._beat([_PREFIX], arguments))
        peers = [peer for text in alive if (peer := peer_of(text)) is not None]
        found = [
            Taken(id_, int(version), record or "", given_of(given or ""))
            for id_, version, record, given in taken
        ]
        return Beat(epoch, frozenset(own), found, peers, frozenset(map(peer_of, busy)))

    async def put(
        self, task: str, record: str, keep_seconds: float, given: Iterable[Given] = ()
    ) -> None:
        """A task has come here, and was given to workers."""
        arguments = (self.broker, task, record, _ms(keep_seconds), given_text(given))
        await self._bounded(self._put([_PREFIX], arguments))

    async def given(self, task: str, version: int, given: Iterable[Given]) -> None:
        """A task was given to one more worker; nothing where it is another broker's by now."""
        arguments = (self.broker, task, version, given_text(given))
        await self._bounded(self._given([_PREFIX], arguments))

    async def answer(self, task: str, version: int, answer: str, keep_seconds: float) -> bool:
        """Give the task its one answer; whether it is: else it is another broker's by now."""
        arguments = (self.broker, task, version, answer, _ms(keep_seconds))
        return bool(await self._bounded(self._answer([_PREFIX], arguments)))

    async def drop(self, task: str) -> bool:
        """Throw a task away; whether there was one."""
        return bool(await self._bounded(self._drop([_PREFIX], (task,))))

    async def find(self, task: str) -> Known | None:
        """A task; `None`: there is none."""
        read = self._client.hmget(f"{_PREFIX}task:{task}", ["owner", "record", "answer"])
        owner, record, answer = await self._bounded(read)
        return None if owner is None or record is None else Known(owner, record, answer)

    async def share(self, part: str, lease_seconds: float) -> dict[str, str]:
        """Tell what this broker has, for a while; what others told, by their names."""
        prefix = f"{_PREFIX}part:"
        tell = self._client.set(prefix + self.broker, part, px=_ms(lease_seconds))
        await self._bounded(tell)
        found = await self._bounded(self._client.smembers(f"{_PREFIX}brokers"))
        names = sorted(found - {self.broker})
        if not names:
            return {}
        parts = await self._bounded(self._client.mget([prefix + each for each in names]))
        return {name: text for name, text in zip(names, parts, strict=True) if text is not None}

    async def leave(self) -> None:
        """Be gone, as far as others are concerned."""
        keys = [f"{_PREFIX}{kind}:{self.broker}" for kind in ("alive", "part")]
        await self._bounded(self._client.delete(*keys))

    async def close(self) -> None:
        """Nothing is open."""
        await self._client.aclose()

    async def _bounded(self, call: Awaitable[Any] | Any) -> Any:
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(self._answer_seconds):
                return await or_cancelled(call)
        except (RedisError, OSError, TimeoutError, UnicodeDecodeError) as error:
            raise LedgerError(f"Redis cannot be asked: {str(error) or 'no answer'}") from error


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))

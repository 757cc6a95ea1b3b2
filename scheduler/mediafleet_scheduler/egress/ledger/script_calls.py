"""Calls of the ledger's scripts in Redis, each within its time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol

import redis.asyncio as redis
from redis.exceptions import NoScriptError, RedisError

from mediafleet_common.cancellation import or_cancelled
from mediafleet_scheduler.egress.connections.opening import Commands
from mediafleet_scheduler.egress.ledger.script_link import ScriptLink

_FAILURES: Final = (RedisError, OSError, TimeoutError)
_AT_ONCE: Final = 64
"""More wait for their turn: redis-py refuses what its pool of 100 connections has no room for."""


class StoreError(Exception):
    """Redis could not be asked, or gave an answer that makes no sense."""


class Asked(Protocol):
    """A Redis that runs scripts, each within its time; `ScriptLink` says what each raises."""

    async def evalsha(self, sha: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """A script's result."""

    async def load(self, script: str) -> str:
        """Have Redis keep a script; its name there."""

    async def take(self, key: str, seconds: int) -> bool:
        """Set a key for a while; whether nobody else had."""

    async def drop(self, why: str) -> None:
        """Take another connection for the next call."""

    async def close(self) -> None:
        """Ask no more."""


class ScriptClient:
    """A client of redis-py: for a cluster, which has a server for each key."""

    def __init__(self, client: Commands, answer_seconds: float) -> None:
        self._client = client
        self._answer_seconds = answer_seconds
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def evalsha(self, sha: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """A script's result."""
        async with asyncio.timeout(self._answer_seconds), self._turns:
            return await or_cancelled(self._client.evalsha(sha, len(keys), *keys, *arguments))

    async def load(self, script: str) -> str:
        """Have Redis keep a script; its name there."""
        async with asyncio.timeout(self._answer_seconds), self._turns:
            return str(await or_cancelled(self._client.script_load(script)))

    async def take(self, key: str, seconds: int) -> bool:
        """Set a key for a while; whether nobody else had."""
        async with asyncio.timeout(self._answer_seconds), self._turns:
            return bool(await or_cancelled(self._client.set(key, "taken", nx=True, ex=seconds)))

    async def drop(self, why: str) -> None:
        """Its pool sees to connections."""

    async def close(self) -> None:
        """The client stays its owner's."""


class ScriptCalls:
    """Calls over one client."""

    def __init__(self, client: Commands, answer_seconds: float) -> None:
        self._asked: Asked = _asked(client, answer_seconds)
        self._answer_seconds = answer_seconds
        self._shas: dict[str, str] = {}

    async def run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """A script's result; it is loaded where Redis does not have it.

        Raises:
            StoreError: Redis could not be asked; the script may have run all the same.
        """
        try:
            return await self._evaluated(script, keys, arguments)
        except _FAILURES as error:
            raise await self._failed(error) from error

    async def take(self, key: str, seconds: int) -> bool:
        """Set a key for a while; whether nobody else had.

        Raises:
            StoreError: Redis could not be asked; it may be set all the same.
        """
        try:
            return bool(await self._asked.take(key, seconds))
        except _FAILURES as error:
            raise await self._failed(error) from error

    async def close(self) -> None:
        """Ask no more."""
        await self._asked.close()

    async def _failed(self, error: Exception) -> StoreError:
        if isinstance(error, TimeoutError):
            # What is silent for so long may be so for good.
            await self._asked.drop("no answer")
        why = str(error) or f"no answer in {self._answer_seconds:g} s"
        return StoreError(f"the ledger in Redis cannot be asked: {why}")

    async def _evaluated(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        sha = self._shas.get(script)
        if sha is not None:
            try:
                return await self._asked.evalsha(sha, keys, arguments)
            except NoScriptError:
                pass
        sha = self._shas[script] = await self._asked.load(script)
        return await self._asked.evalsha(sha, keys, arguments)


def _asked(client: Commands, answer_seconds: float) -> Asked:
    # Of exactly this class: a cluster has several servers, and what stands in for Redis has none.
    if isinstance(client, redis.Redis) and type(client) is redis.Redis:
        return ScriptLink(client, answer_seconds)
    return ScriptClient(client, answer_seconds)

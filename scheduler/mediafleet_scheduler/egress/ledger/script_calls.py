"""Calls of the ledger's scripts in Redis: so many at a time, each within its time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from redis.exceptions import NoScriptError, RedisError

from mediafleet_scheduler.egress.connections.opening import Commands

_AT_ONCE: Final = 64
"""More wait for their turn: redis-py refuses what its pool of 100 connections has no room for."""


class StoreError(Exception):
    """Redis could not be asked, or gave an answer that makes no sense."""


class ScriptCalls:
    """Calls over one client."""

    def __init__(self, client: Commands, answer_seconds: float) -> None:
        self._client = client
        self._answer_seconds = answer_seconds
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._shas: dict[str, str] = {}

    async def run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """A script's result; it is loaded where Redis does not have it.

        Raises:
            StoreError: Redis could not be asked; the script may have run all the same.
        """
        return await self._bounded(lambda: self._evaluated(script, keys, arguments))

    async def take(self, key: str, seconds: int) -> bool:
        """Set a key for a while; whether nobody else had.

        Raises:
            StoreError: Redis could not be asked; it may be set all the same.
        """
        return bool(
            await self._bounded(lambda: self._client.set(key, "taken", nx=True, ex=seconds))
        )

    async def _bounded(self, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            async with asyncio.timeout(self._answer_seconds), self._turns:
                return await call()
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreError(f"the ledger in Redis cannot be asked: {error}") from error

    async def _evaluated(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        sha = self._shas.get(script)
        if sha is not None:
            try:
                call = self._client.evalsha(sha, len(keys), *keys, *arguments)
                return await _or_cancelled(call)
            except NoScriptError:
                pass
        sha = self._shas[script] = str(await self._client.script_load(script))
        return await _or_cancelled(self._client.evalsha(sha, len(keys), *keys, *arguments))


async def _or_cancelled(call: Awaitable[Any]) -> Any:
    """A call's result, unless its task was cancelled meanwhile.

    redis-py waits with asyncio.wait_for, which in Python 3.11 loses a cancellation that comes
    together with the result: https://github.com/python/cpython/issues/86296.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    result = await call
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return result

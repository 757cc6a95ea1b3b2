"""Calls of the ledger's scripts over one connection, sent without waiting for those before.

Redis answers in the order of the commands, so a call is its bytes and a future: several times less
work than a connection of redis-py's pool for each. A call that was lost with its connection is made
once more on the next one, as redis-py does: a script that has run twice has run once.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Sequence
from typing import Any, Final

import redis.asyncio as redis
from redis.exceptions import NoScriptError, ResponseError

from mediafleet_scheduler.psrpc.link import Link
from mediafleet_scheduler.psrpc.resp import Refusal, Reply, command

_AGAIN_AFTER_SECONDS: Final = 0.05
_NO_SCRIPT: Final = "NOSCRIPT"
_ELSEWHERE: Final = ("READONLY", "MASTERDOWN", "LOADING")
"""Says a server that is not the one to ask any more, or not yet."""


class _Open:
    """A connection that stands, and those who wait for its replies."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._answers: collections.deque[asyncio.Future[Reply]] = collections.deque()
        self._link: Link | None = None

    @property
    def stands(self) -> bool:
        """Whether it may be used."""
        return self._link is not None and not self._link.lost.done()

    async def open(self, client: redis.Redis) -> None:
        """Connect."""
        self._link = await Link.open(client, self._answered, lambda: None, text=True)
        self._link.lost.add_done_callback(self._lost)

    async def end(self, why: str) -> None:
        """Disconnect; those that wait get no reply."""
        if self._link is not None:
            await self._link.close(ConnectionError(why))

    async def ask(self, data: bytes, deadline: float) -> Reply:
        """The reply to a command.

        Raises:
            TimeoutError: it has not come by this time of the event loop.
        """
        if self._link is None or self._link.lost.done():
            raise ConnectionError("there is no connection")
        answer: asyncio.Future[Reply] = self._loop.create_future()
        self._answers.append(answer)
        self._link.write(data)
        # asyncio.timeout would cost more than all the rest of a call.
        timer = self._loop.call_at(deadline, _too_late, answer)
        try:
            return await answer
        finally:
            timer.cancel()

    def _answered(self, reply: Reply) -> None:
        if self._answers and not (answer := self._answers.popleft()).done():
            answer.set_result(reply)

    def _lost(self, link: asyncio.Future[None]) -> None:
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(ConnectionError(str(link.exception())))
        self._answers.clear()


def _too_late(answer: asyncio.Future[Reply]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


class ScriptLink:
    """One connection of a client's kind, opened when it is needed, and again when it is lost."""

    def __init__(self, client: redis.Redis, answer_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer_seconds = answer_seconds
        self._client = client
        self._open = _Open()
        self._opening = asyncio.Lock()
        self._closed = False

    async def evalsha(self, sha: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """A script's result.

        Raises:
            NoScriptError: Redis does not have it.
            RedisError, OSError, TimeoutError: Redis could not be asked; the script may have run all
                the same.
        """
        return await self._asked("EVALSHA", sha, len(keys), *keys, *arguments)

    async def load(self, script: str) -> str:
        """Have Redis keep a script; its name there. Raises as `evalsha`."""
        return str(await self._asked("SCRIPT", "LOAD", script))

    async def take(self, key: str, seconds: int) -> bool:
        """Set a key for a while; whether nobody else had. Raises as `evalsha`."""
        return await self._asked("SET", key, "taken", "NX", "EX", seconds) is not None

    async def close(self) -> None:
        """End the connection for good; those that wait for an answer get none."""
        self._closed = True
        await self.drop("closed")

    async def drop(self, why: str) -> None:
        """End the connection that there is; those that wait for an answer get none."""
        before, self._open = self._open, _Open()
        await before.end(why)

    async def _asked(self, *parts: str | bytes | int) -> Any:
        data = command(*parts)
        deadline = self._loop.time() + self._answer_seconds
        try:
            reply = await self._once(data, deadline)
        except ConnectionError:
            await asyncio.sleep(_AGAIN_AFTER_SECONDS)
            reply = await self._once(data, deadline)
        if not isinstance(reply, Refusal):
            return reply
        if reply.text.startswith(_NO_SCRIPT):
            raise NoScriptError(reply.text)
        if reply.text.startswith(_ELSEWHERE):
            await self.drop(reply.text)
        raise ResponseError(reply.text)

    async def _once(self, data: bytes, deadline: float) -> Reply:
        if not self._open.stands:
            async with asyncio.timeout_at(deadline), self._opening:
                if not self._open.stands and not self._closed:
                    await self.drop("lost")
                    opened = self._open
                    await opened.open(self._client)
                    if self._open is not opened:
                        await opened.end("dropped while it was opened")
        return await self._open.ask(data, deadline)

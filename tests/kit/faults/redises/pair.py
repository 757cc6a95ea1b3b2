"""A Redis with a replica to fail over to, and the ports by which it is reached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import redis.asyncio as redis
from tests.kit.faults.redises.plans import FAILOVERS, RedisFault, RedisPlan
from tests.kit.faults.redises.proxy import Front, RedisTraffic

from mediafleet_testbed.real_servers import RedisServer, redis_server


class Redises:
    """The primary and, where the plan needs it, a replica.

    A replica is a second Redis that is given the keys of the first when it catches up: what a
    failover does to a desk is that its connections end, and that the next ones lead to it.
    """

    def __init__(
        self, plan: RedisPlan | None, counts: Callable[[bytes], bool] = lambda _: True
    ) -> None:
        """`counts`: whether a command is part of the story."""
        self._plan = plan
        self._servers: list[RedisServer] = []
        self.traffic = RedisTraffic(plan, counts, self._copy, self._fail_over)
        self.through = Front(self._port, self.traffic)
        """For those that the plan is about."""
        self.beside = Front(self._port)
        """For all others."""
        self.failed_over = False

    @property
    def needed(self) -> int:
        """How many Redises there are."""
        return 2 if self._plan is not None and self._plan.fault in FAILOVERS else 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """They run until left."""
        async with AsyncExitStack() as stack:
            for _ in range(self.needed):
                life = redis_server()
                self._servers.append(await asyncio.to_thread(life.__enter__))
                stack.push_async_callback(asyncio.to_thread, life.__exit__, None, None, None)
            for front in (self.through, self.beside):
                await stack.enter_async_context(front)
            yield

    def _port(self) -> int:
        return self._servers[-1 if self.failed_over else 0].port

    async def _copy(self) -> None:
        """The replica catches up, for the last time."""
        urls = [server.url for server in self._servers]
        primary, replica = (redis.Redis.from_url(url, protocol=2) for url in urls)
        for key in await primary.keys("*"):
            # Gone by now, or without an end: both are negative.
            left, value = max(0, await primary.pttl(key)), await primary.dump(key)
            if value is not None:
                await replica.restore(key, left, value, replace=True)
        for each in (primary, replica):
            await each.aclose()

    async def _fail_over(self) -> None:
        assert self._plan is not None
        assert self._plan.fault is RedisFault.EMPTIED or self.traffic.copied
        self.failed_over = True
        for front in (self.through, self.beside):
            front.cut()

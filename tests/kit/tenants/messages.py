"""What a tenant may send on its own Redis, which the shared desk listens to."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis
from tests.kit.fleets.users import start_request
from tests.kit.tenants.plan import Outcome, Plan

from mediafleet_scheduler.core.psrpc.selection import UPSTREAM_START_EGRESS
from mediafleet_scheduler.psrpc import channels
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.envelope import Request, encode
from mediafleet_scheduler.psrpc.redis_bus import RedisBus

SERVICE: Final = "EgressInternal"
STARTS_AT_A_TIME: Final = 8
AT_ONCE: Final = 50
"""Messages in one write."""
LARGE_BYTES: Final = 900_000
_START_SECONDS: Final = 2.0
Calls = AsyncIterator[Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Messages:
    """The attacks by messages; each is calls without end."""

    plan: Plan
    outcome: Outcome

    @asynccontextmanager
    async def _redis(self) -> AsyncIterator[Redis]:
        async with Redis.from_url(f"redis://{self.plan.redis}") as redis:
            yield redis

    async def starts(self) -> Calls:
        """StartEgress as clients do it, eight at a time."""
        async with (
            self._redis() as redis,
            RedisBus(redis) as bus,
            Client(bus, SERVICE) as client,
        ):
            for number in itertools.count(step=STARTS_AT_A_TIME):
                ids = (f"EG_evil{number + each}" for each in range(STARTS_AT_A_TIME))
                yield asyncio.gather(*(self._start(client, each) for each in ids))

    async def _start(self, client: Client, egress_id: str) -> None:
        answer = await client.request(
            "StartEgress",
            start_request(egress_id, "track").SerializeToString(),
            timeout_seconds=_START_SECONDS,
            selection=UPSTREAM_START_EGRESS,
        )
        self.outcome.tried["starts refused" if answer.error else "starts agreed to"] += 1

    async def requests(self) -> Calls:
        """StartEgress as fast as they can be written; nobody waits for answers."""
        body = start_request("EG_flood", "track").SerializeToString()
        async for call in self._flood(lambda number: _request(f"R_{number}", body)):
            yield call

    async def granted(self) -> Calls:
        """The same, and each is run: a request for all, which needs no bid."""
        async for call in self._flood(
            lambda number: _request(
                f"M_{number}",
                start_request(f"EG_m{number}", "track").SerializeToString(),
                multi=True,
            )
        ):
            yield call

    async def large(self) -> Calls:
        """The same with all of the bytes that a message may have."""
        request = start_request("EG_large", "track")
        request.room_id = "x" * LARGE_BYTES
        body = request.SerializeToString()
        async for call in self._flood(lambda number: _request(f"L_{number}", body), at_once=2):
            yield call

    async def garbage(self) -> Calls:
        """Bytes that are nothing."""
        noise = os.urandom(200)
        async for call in self._flood(lambda _: noise):
            yield call

    async def _flood(self, message, at_once: int = AT_ONCE) -> Calls:  # type: ignore[no-untyped-def]
        channel = channels.request(SERVICE, "StartEgress")
        async with self._redis() as redis:
            for number in itertools.count(step=at_once):
                async with redis.pipeline(transaction=False) as pipe:
                    for each in range(at_once):
                        pipe.publish(channel, message(number + each))
                    yield pipe.execute()
                self.outcome.tried["messages"] += at_once


def _request(request_id: str, body: bytes, *, multi: bool = False) -> bytes:
    now = time.time_ns()
    return encode(Request(request_id, "CLI_evil", now, now + 10**10, body, multi))

"""Servers of the "real" tier: one Redis and one livekit-server for all tests, emptied for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import redis.asyncio as redis

from mediafleet_testbed.real_servers import (
    LivekitServer,
    RedisServer,
    livekit_server,
    redis_server,
)


@pytest.fixture(scope="session")
def redis_process() -> Iterator[RedisServer]:
    """A Redis of our own."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def livekit(redis_process: RedisServer) -> Iterator[LivekitServer]:
    """An unmodified livekit-server on that Redis."""
    with livekit_server(f"127.0.0.1:{redis_process.port}") as server:
        yield server


@pytest.fixture
async def commands(redis_process: RedisServer) -> AsyncIterator[redis.Redis]:
    """A client of that Redis, without the ledgers of other tests."""
    client = redis.Redis.from_url(redis_process.url, decode_responses=True, protocol=2)
    for key in await client.keys("mediafleet:*"):
        await client.delete(key)
    yield client
    await client.aclose()

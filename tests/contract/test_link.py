"""What a link takes from inside redis-py, which gives a connection's transport in no public way.

When these fail after an upgrade of redis-py, `Link.open` is the one place to change.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio as redis
import trustme
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import SentinelManagedConnection

from mediafleet_scheduler.psrpc.link import Link
from mediafleet_scheduler.psrpc.resp import Reply, command
from mediafleet_testbed.real_servers import RedisServer, redis_server
from mediafleet_testbed.tls_front import tls_before

WAIT_SECONDS = 30.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(params=["plain", "TLS"])
async def client(
    request: pytest.FixtureRequest, server: RedisServer, tmp_path: Path
) -> AsyncIterator[redis.Redis]:
    if request.param == "plain":
        made = redis.Redis.from_url(server.url, protocol=2)
        yield made
        await made.aclose()
        return
    authority, root = trustme.CA(), tmp_path / "root.pem"
    authority.cert_pem.write_to_path(str(root))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with tls_before(server.port, context) as port:
        url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={root}"
        made = redis.Redis.from_url(url, protocol=2)
        yield made
        await made.aclose()


async def test_a_connection_of_redis_py_stands_on_a_stream_writer(client: redis.Redis) -> None:
    connection: AbstractConnection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    async with asyncio.timeout(WAIT_SECONDS):
        await connection.connect()  # type: ignore[no-untyped-call]
    writer = connection._writer
    assert isinstance(writer, asyncio.StreamWriter)
    assert isinstance(writer.transport, asyncio.Transport)
    await connection.disconnect(nowait=True)
    assert writer.transport.is_closing()


def test_a_connection_behind_sentinels_is_such_a_connection() -> None:
    assert issubclass(SentinelManagedConnection, redis.Connection)


async def test_a_link_hears_replies_itself_and_ends_when_it_is_closed(client: redis.Redis) -> None:
    heard: asyncio.Queue[Reply] = asyncio.Queue()
    async with asyncio.timeout(WAIT_SECONDS):
        link = await Link.open(client, heard.put_nowait, lambda: None)
        link.write(command("PING", "x"))
        assert await heard.get() == b"x"
        await link.close()
    assert isinstance(link.lost.exception(), ConnectionError)

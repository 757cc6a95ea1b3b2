"""The sidecar that shows metrics and keeps the rest of the port to itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from yarl import URL

from mediafleet_common.serving.agent import refuse_foreign, serve
from mediafleet_common.serving.run import CannotStartError
from mediafleet_testbed.standins.node import StandInNode
from mediafleet_testbed.standins.node_flags import parse_flags
from mediafleet_testbed.standins.node_http import SPENT


@asynccontextmanager
async def agent(metrics: str) -> AsyncIterator[str]:
    stop = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(metrics, "127.0.0.1:0", stop, port.set_result))
    try:
        yield f"http://127.0.0.1:{await asyncio.wait_for(port, 5)}"
    finally:
        stop.set()
        await task


def a_node(*flags: str) -> StandInNode:
    ports = ("-serviceAddr=127.0.0.1:0", "-cliAddr=127.0.0.1:0")
    return StandInNode(parse_flags([*ports, *flags]))


async def test_it_shows_the_metrics() -> None:
    async with (
        a_node("-monitor") as node,
        agent(f"http://127.0.0.1:{node.cli_port}/metrics") as base,
        aiohttp.ClientSession() as session,
    ):
        node.sessions.segment("one")
        async with session.get(f"{base}/metrics") as response:
            assert response.status == 200
            assert 'livepeer_current_sessions_total{node_id="standin"' in await response.text()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        *("/transferTokens", "/withdraw", "/withdrawFees", "/status", "/setMaxSessions", "/"),
        *("/metrics/../withdraw", "/metrics/%2e%2e/withdraw", "//withdraw", "/metrics%2f..%2fx"),
    ],
)
async def test_nothing_else_of_the_port_gets_through(method: str, path: str) -> None:
    async with (
        a_node("-monitor") as node,
        agent(f"http://127.0.0.1:{node.cli_port}/metrics") as base,
        aiohttp.ClientSession() as session,
    ):
        url = URL(base + path, encoded=True)
        async with session.request(method, url) as response:
            assert response.status in (404, 405)
        assert node.cli[SPENT] == []


async def test_a_node_that_does_not_answer_is_an_error_and_not_zero_sessions() -> None:
    async with (
        agent("http://127.0.0.1:1/metrics") as base,
        aiohttp.ClientSession() as session,
        session.get(f"{base}/metrics") as response,
    ):
        assert response.status == 502
        assert (await response.text()).startswith("unreachable: ")


@pytest.mark.parametrize(
    "url",
    [
        *("http://10.0.0.1:7935/metrics", "http://example.com/metrics", "https://127.0.0.1/x"),
        *("http://127.0.0.1@example.com/metrics", "file:///etc/passwd", "", "http://0.0.0.0/m"),
    ],
)
def test_it_is_no_door_to_other_machines(url: str) -> None:
    with pytest.raises(CannotStartError, match=r"127\.0\.0\.1"):
        refuse_foreign(url)


@pytest.mark.parametrize("host", ["127.0.0.1:7935", "127.0.0.2", "localhost:1", "[::1]:7935"])
def test_addresses_of_this_machine_are_taken(host: str) -> None:
    refuse_foreign(f"http://{host}/metrics")

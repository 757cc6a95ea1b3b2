"""Each node that is not listed is named with its reason: on `/conditions` and in the log."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from tests.kit.advertise.scene import Desk, desk, entry, node_flags, nodes, until, write

from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import free_port
from mediafleet_testbed.standins.node import StandInNode


@asynccontextmanager
async def answering(what: bytes) -> AsyncIterator[int]:
    """A port that answers everything with the same bytes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1 << 16):
            writer.write(what)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nodes.yaml"


async def listed(one: Desk) -> dict[str, str]:
    """Condition NodesListed."""
    url = f"http://127.0.0.1:{one.serving.http_port}/conditions"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        conditions: list[dict[str, str]] = await response.json()
    return next(each for each in conditions if each["type"] == "NodesListed")


async def told(one: Desk, is_so: Callable[[dict[str, str]], bool]) -> dict[str, str]:
    """The condition once it is as it should be."""

    async def looked() -> bool:
        return is_so(await listed(one))

    await until(looked)
    return await listed(one)


async def test_each_node_that_is_not_listed_is_named_with_what_is_wrong(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    mute = socket.create_server(("127.0.0.1", 0))
    async with nodes(1) as (good,), answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as web:
        write(
            path,
            entry("good", good),
            entry("refused", "https://127.0.0.1:1"),
            entry("web", f"https://127.0.0.1:{web}"),
            entry("plain", f"http://127.0.0.1:{web}"),
            entry("mute", f"https://127.0.0.1:{mute.getsockname()[1]}"),
            entry("typo", "https//x:1"),
            entry("twin", good),
        )
        expected = (
            "refused: unprobed, connection refused.",
            "web: unprobed, it speaks no TLS: wrong port?.",
            "plain: unprobed, it speaks no HTTP/2.",
            "mute: unprobed, no connection yet.",
            "typo: bad url, https//x:1 cannot be dialled",
            "twin: duplicate.",
        )
        async with desk(path) as one:
            said = await told(one, lambda it: all(each in it["message"] for each in expected))
            assert (said["status"], said["reason"]) == ("False", "NodesLeftOut")

            async def logged() -> bool:
                return "node refused is not listed: unprobed, connection refused" in caplog.text

            await until(logged)
    mute.close()


async def test_a_node_that_tells_gateways_another_host_is_listed_with_a_note(path: Path) -> None:
    flags = node_flags(0)
    async with StandInNode(flags) as node:
        port = node.port
    flags = node_flags(port, "-serviceAddr=0.0.0.0:8935")
    async with StandInNode(flags) as node:
        write(path, entry("a", f"https://127.0.0.1:{port}"))
        async with desk(path) as one:
            said = await told(one, lambda it: "0.0.0.0" in it["message"])
            assert (said["status"], said["reason"]) == ("True", "AllListed")
            assert "it tells gateways https://0.0.0.0:8935" in said["message"]


async def test_status_asks_a_running_advertiser_for_the_nodes_of_its_file(path: Path) -> None:
    """Without Kubernetes there is nobody else to ask."""
    async with nodes(1) as (a,), Processes(path.parent) as processes:
        gone = f"https://127.0.0.1:{free_port()}"
        write(path, entry("a", a), entry("b", gone), entry("c", a, state="draining"))
        async with desk(path) as one:
            await one.lists(a.url)
            url = f"http://127.0.0.1:{one.serving.http_port}"
            asked = await processes.python("status", "mediafleet.main", "status", "--desk", url)
            assert await asked.process.wait() == 0
        rows = {line.split()[0]: line for line in asked.log.read_text().splitlines()}
        assert rows["file"].startswith("file  1 of 3 nodes listed")
        assert rows["a"].split()[:3] == ["a", "ready", "yes"]
        assert "connection refused" in rows["b"]
        assert rows["c"].split()[-1] == "draining"

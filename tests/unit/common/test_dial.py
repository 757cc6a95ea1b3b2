"""Dialling out: what is judged is what is dialled, by HTTP, by gRPC, and at each reconnection."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web

from mediafleet_common.dial import Connector
from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.formats.reach import OWN_WORD, PODS, PUBLIC, Reach
from mediafleet_common.probes.http_client import FetchError, client, fetch
from mediafleet_common.probes.ping import Answer, NodeClient

REPOSITORY: Final = Path(__file__).parents[3]


class Canary:
    """A server beside us that counts who comes."""

    def __init__(self) -> None:
        self.visits = 0
        self.port = 0

    def accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        writer.close()


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    made = Canary()
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


def name_server(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """Each look-up of any name gets the next of these answers, the last one for ever."""
    left = list(answers)

    async def getaddrinfo(_: str, port: int, **__: Any) -> list[Any]:
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "localhost", "[::1]"])
@pytest.mark.parametrize("reach", [PUBLIC, PODS, Reach(services_of="ns")])
async def test_a_stranger_does_not_have_us_dial_this_machine(
    canary: Canary, reach: Reach, host: str
) -> None:
    async with client(reach=reach) as session:
        with pytest.raises(FetchError, match="may not be dialled"):
            await fetch(session, f"http://{host}:{canary.port}/")
    async with NodeClient(NodeUrl("http", host.strip("[]"), canary.port), reach) as node:
        assert await node.ping(1.0) is Answer.UNREACHABLE
        assert "may not be dialled" in node.refusal
    assert canary.visits == 0


async def test_a_name_that_leads_to_this_machine_is_not_dialled(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_server(monkeypatch, ["127.0.0.1"])
    async with client(reach=PUBLIC) as session:
        with pytest.raises(FetchError, match="loopback"):
            await fetch(session, f"http://list.example:{canary.port}/")
    async with NodeClient(NodeUrl("http", "node.example", canary.port), PUBLIC) as node:
        assert await node.ping(1.0) is Answer.UNREACHABLE
    assert canary.visits == 0


async def test_a_name_is_judged_again_at_each_connection(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the first answer may be dialled, the second may not."""
    here = Reach(loopback=True)
    name_server(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    async with client(reach=here) as session:
        url = f"http://list.example:{canary.port}/"
        assert await fetch(session, url) == b"hi"
        with pytest.raises(FetchError, match="metadata"):
            await fetch(session, url)
    assert canary.visits == 1


async def test_of_a_names_addresses_those_alone_are_dialled_that_may_be(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_server(monkeypatch, ["10.0.0.1", "169.254.169.254", "127.0.0.1"])
    async with client(reach=Reach(loopback=True)) as session:
        assert await fetch(session, f"http://list.example:{canary.port}/") == b"hi"


async def test_a_redirect_does_not_lead_where_its_url_may_not(canary: Canary) -> None:
    """None of ours follows redirects; a client that did would be judged again."""

    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound(f"http://{request.query['to']}:{canary.port}/")

    app = web.Application()
    app.router.add_get("/", away)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]

    class ThisPortAlone(Connector):
        async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
            self._reach = OWN_WORD if req.url.port == port else PUBLIC
            return await super().connect(req, traces, timeout)

    async with aiohttp.ClientSession(connector=ThisPortAlone(OWN_WORD)) as session:
        with pytest.raises(OSError, match="may not be dialled"):
            await session.get(f"http://127.0.0.1:{port}/?to=127.0.0.1")
    async with client() as session:
        with pytest.raises(FetchError, match="HTTP 302"):
            await fetch(session, f"http://127.0.0.1:{port}/?to=127.0.0.1")
    await runner.cleanup()
    assert canary.visits == 0


def test_every_dialler_of_the_product_says_how_far_it_may_reach() -> None:
    """Their default is for tests and for the pod's own loopback, as the agent's."""
    calls = re.compile(
        r"(?<![\w.])(?:client|NodeClient|HeadLink|connect)\(([^()]*(?:\([^()]*\))*[^()]*)\)"
    )
    own = {"agent.py", "conditions.py", "events.py"}
    for folder in ("cli", "operator", "scheduler"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            if path.name in own:
                continue
            for found in calls.finditer(path.read_text()):
                line = found.string[found.string.rfind("\n", 0, found.start()) + 1 : found.start()]
                if "def " in line or "class " in line:
                    continue
                assert re.search("[rR]each|OWN_WORD|PODS|PUBLIC|foreign|public", found[1]), (
                    path,
                    found[0],
                )
    text = "".join(p.read_text() for p in REPOSITORY.glob("scheduler/**/*.py"))
    assert "TCPConnector" not in text
    assert "insecure_channel" not in text

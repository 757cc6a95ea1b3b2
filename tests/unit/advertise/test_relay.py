"""An advertiser beside a reporter: the same bytes on the port that gateways call, while they are
shared, and none after."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer
from tests.kit.community import PEERS, Time, an_hour, reporter

from mediafleet_common.serving.tls import self_signed_context
from mediafleet_common.serving.unary.port import UnaryPort
from mediafleet_scheduler.advertise.community.relay import KEPT_SECONDS, Relay
from mediafleet_scheduler.community.pages import RELAY, Pages
from mediafleet_scheduler.community.reporter import Reporter
from mediafleet_scheduler.community.state import State

BOTH = (b"/summary", b"/metrics/community")


@dataclass
class Scene:
    """A reporter that can be stopped, and an advertiser that shows what it shares."""

    time: Time
    reporter: Reporter
    pages: Pages
    server: BaseTestServer
    relay: Relay
    session: aiohttp.ClientSession
    between: list[Callable[[], None]] = field(default_factory=list)
    """What happens after the next page was asked for."""

    async def look(self) -> None:
        await self.relay.look(self.session)

    def shown(self) -> list[int]:
        return [int(self.relay.answer(path, b"").status) for path in BOTH]

    async def told(self, path: bytes, accept: str = "application/json") -> bytes:
        """What the reporter answers by itself."""
        url = self.server.make_url(path.decode())
        async with self.session.get(url, headers={"Accept": accept}) as answer:
            return await answer.read()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    time = Time()
    mine = reporter(time, state=State(tmp_path))
    an_hour(time, mine, PEERS)
    pages = Pages(mine)
    between: list[Callable[[], None]] = []

    @web.middleware
    async def meanwhile(request: web.Request, handler: Any) -> web.StreamResponse:
        answer: web.StreamResponse = await handler(request)
        if between:
            between.pop(0)()
        return answer

    app = web.Application(middlewares=[meanwhile])
    app.add_routes(pages.routes())
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(TestServer(app))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(headers={"User-Agent": RELAY})
        )
        relay = Relay(str(server.make_url("/")), time.clock)
        yield Scene(time, mine, pages, server, relay, session, between)


async def test_both_pages_are_the_reporters_byte_for_byte_over_tls_and_who_relays_is_no_reader(
    scene: Scene,
) -> None:
    assert scene.shown() == [404, 404]
    await scene.look()
    contexts = self_signed_context(["127.0.0.1"], pages=True)
    async with UnaryPort("127.0.0.1:0", {}, contexts, pages=scene.relay.answer) as port:
        base = f"https://127.0.0.1:{port.port}"
        for path, accept in [(BOTH[0], "*/*"), (BOTH[1], "*/*"), (BOTH[0], "text/html")]:
            url = base + path.decode()
            headers = {"Accept": accept}
            async with scene.session.get(url, headers=headers, ssl=False) as answer:
                assert await answer.read() == await scene.told(path, accept)
    assert scene.relay.answer(b"/community/status", b"").status == 404
    assert scene.relay.answer(b"/metrics", b"").status == 404
    assert scene.pages.status()["reads"] == {}


async def test_a_reporter_that_is_away_for_less_than_an_hour_is_shown_as_it_was(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.look()
    before = scene.relay.answer(BOTH[0], b"")
    await scene.server.close()
    scene.time.now += KEPT_SECONDS
    await scene.look()
    assert scene.relay.answer(BOTH[0], b"") is before
    scene.time.now += 1
    await scene.look()
    assert scene.shown() == [404, 404]


@pytest.mark.parametrize(("left", "shown"), [(False, 200), (True, 410)])
async def test_one_whose_resource_is_deleted_is_shown_no_more(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, left: bool, shown: int
) -> None:
    scene.reporter.left = left
    await scene.look()
    await scene.server.close()

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "no such name")

    with monkeypatch.context() as away:
        away.setattr(socket, "getaddrinfo", unknown)
        await scene.look()
        # The DNS server may be away for a moment.
        assert scene.shown() == [shown, shown]
    await scene.look()
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    await scene.look()
    assert scene.shown() == [shown, shown]
    await scene.look()
    assert scene.shown() == [404, 404]


async def test_who_has_left_is_told_as_such_and_stays_so_until_shared_again(
    scene: Scene, tmp_path: Path
) -> None:
    await scene.look()
    state = scene.reporter.state
    assert state is not None
    state.leave()
    await scene.look()
    assert scene.shown() == [410, 410]
    assert json.loads(scene.relay.answer(BOTH[0], b"text/html").body)["left"] is True
    (tmp_path / "left").unlink()
    scene.reporter.left = False
    await scene.look()
    assert scene.shown() == [200, 200]


async def test_pages_of_two_records_are_never_shown_together(scene: Scene) -> None:
    await scene.look()
    before = [scene.relay.answer(path, b"").body for path in BOTH]
    scene.between.append(lambda: an_hour(scene.time, scene.reporter, PEERS))
    await scene.look()
    assert [scene.relay.answer(path, b"").body for path in BOTH] == before
    await scene.look()
    assert [scene.relay.answer(path, b"").body for path in BOTH] == [
        await scene.told(path) for path in BOTH
    ]
    assert scene.relay.answer(BOTH[0], b"").body != before[0]


@pytest.mark.parametrize(
    ("summary", "metrics"),
    [
        ("{}", ""),
        ('{"version": 1, "region": "eu", "day": {"hours": 0}}', 'up{ip="192.0.2.1"} 1\n'),
        ("no JSON", ""),
    ],
)
async def test_what_is_no_summary_is_not_shown(summary: str, metrics: str) -> None:
    app = web.Application()

    async def first(_: web.Request) -> web.Response:
        return web.Response(text=summary)

    async def second(_: web.Request) -> web.Response:
        return web.Response(text=metrics)

    app.add_routes([web.get("/summary", first), web.get("/metrics/community", second)])
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        relay = Relay(str(server.make_url("/")))
        await relay.look(session)
        assert [relay.answer(path, b"").status for path in BOTH] == [404, 404]

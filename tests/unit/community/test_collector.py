"""The collector: sums for anybody, detail for those who run it, deletion for those who left."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from tests.kit.community import MIDNIGHT, PEERS, Time, an_hour, reporter

from mediafleet_common.pages.files import HEADERS
from mediafleet_scheduler.community.collector import Collector
from mediafleet_scheduler.community.map_page import MapPage
from mediafleet_scheduler.community.pages import Pages
from mediafleet_scheduler.community.state import State

Visitor = TestClient[web.Request, web.Application]
ASSETS = Path(__file__).parents[3] / "scheduler/mediafleet_scheduler/community/assets"


@asynccontextmanager
async def shown(time: Time, folder: Path) -> AsyncIterator[tuple[Collector, Visitor, str]]:
    """A collector of one operator that shares and of one that is away, its page, and the former."""
    mine = reporter(time, state=State(folder))
    an_hour(time, mine, PEERS)
    app = web.Application()
    app.add_routes(Pages(mine).routes())
    async with TestServer(app) as server:
        url = str(server.make_url("/"))
        collector = Collector([url, "http://127.0.0.1:9"], "Example", time.clock)
        await collector.look()
        page = web.Application()
        map_page = MapPage(collector, most_listeners=1)
        page.add_routes([*map_page.routes(), map_page.detail_route()])
        async with TestClient(TestServer(page)) as visitor:
            yield collector, visitor, url


async def test_visitors_see_sums_how_many_share_and_no_address(tmp_path: Path) -> None:
    async with shown(Time(), tmp_path) as (_, visitor, url):
        told = await (await visitor.get("/view")).text()
        view = json.loads(told)
        assert (view["shared"], view["unknown"], view["operator"]) == (1, 1, "Example")
        assert view["regions"] == [
            {"region": "eu-west", "operators": 1, "now": 10, "average": 10.0, "maximum": 10}
        ]
        assert view["hours"][-1]["operators"] == 1
        assert view["hours"][-1]["groups"][0]["asking"] == [3, 5]
        assert url.split("/")[2] not in told
        assert not re.search(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+", told)


async def test_each_operator_is_told_to_those_who_run_it(tmp_path: Path) -> None:
    async with shown(Time(), tmp_path) as (_, visitor, url):
        mine, away = await (await visitor.get("/operators")).json()
    assert (mine["target"], mine["region"], mine["refused"]) == (url, "eu-west", None)
    assert away["accepted"] is None
    assert away["refused"]


async def test_of_ten_operators_tables_are_the_truth_of_those_who_share_and_a_liar_is_named() -> (
    None
):
    time = Time()
    sharing = [reporter(time, streams=lambda: 10) for _ in range(3)]
    for minute in range(65):
        time.now = MIDNIGHT + 60 * minute
        for each in sharing:
            each.look()
    lie = {"version": 1, "region": "eu-west", "now": {"average": 5000, "maximum": 10}}
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(page(Pages(each).routes())) for each in sharing]
        lies = web.get("/summary", answering(lie))
        liar = await stack.enter_async_context(page([lies]))
        others = [f"http://127.0.0.{number}:9" for number in range(2, 8)]
        collector = Collector([*urls, liar, *others], "Example", time.clock)
        await collector.look()
    view = json.loads(collector.view)
    assert (view["shared"], view["unknown"]) == (3, 7)
    assert view["regions"] == [
        {"region": "eu-west", "operators": 3, "now": 30, "average": 30.0, "maximum": 30}
    ]
    refused = {each["target"]: each["refused"] for each in collector.operators()}
    assert [refused[url] for url in urls] == [None, None, None]
    assert "above the maximum" in str(refused[liar])
    assert all(refused[each] for each in others)


@asynccontextmanager
async def page(routes: Iterable[web.RouteDef]) -> AsyncIterator[str]:
    """An operator's port."""
    app = web.Application()
    app.add_routes(routes)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


def answering(body: dict[str, Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body)

    return answer


async def test_what_was_told_more_than_a_day_ago_is_unknown(tmp_path: Path) -> None:
    time = Time()
    async with shown(time, tmp_path) as (collector, _, url):
        collector.targets[url].url = "http://127.0.0.1:9"
        await collector.look()
        assert json.loads(collector.view)["shared"] == 1
        time.now += 86_400
        await collector.look()
        assert json.loads(collector.view)["shared"] == 0


async def test_who_has_left_is_forgotten_when_he_asks_and_not_before(tmp_path: Path) -> None:
    async with shown(Time(), tmp_path) as (collector, visitor, url):
        asked = {"target": url}
        assert (await visitor.post("/forget", json=asked)).status == 409
        State(tmp_path).leave()
        answer = await visitor.post("/forget", json=asked)
        assert (answer.status, await answer.json()) == (
            200,
            {"message": "deleted: nothing of it is kept"},
        )
        assert collector.targets[url].summary is None
        assert json.loads(collector.view)["shared"] == 0


@pytest.mark.parametrize(
    ("body", "status"), [(b"{}", 400), (b"\xff", 400), (b"[]", 400), (b'{"target": "x"}', 404)]
)
async def test_nobody_else_can_have_something_asked_or_forgotten(
    tmp_path: Path, body: bytes, status: int
) -> None:
    async with shown(Time(), tmp_path) as (_, visitor, _url):
        assert (await visitor.post("/forget", data=body)).status == status


async def test_a_new_view_is_sent_at_once_and_listeners_are_bounded(tmp_path: Path) -> None:
    async with shown(Time(), tmp_path) as (collector, visitor, url):
        events = await visitor.get("/events")
        first = await events.content.readuntil(b"\n\n")
        assert first == b"data: %b\n\n" % collector.view
        assert (await visitor.get("/events")).status == 503
        State(tmp_path).leave()
        await collector.look_again(url)
        assert await events.content.readuntil(b"\n\n") == b"data: %b\n\n" % collector.view
        events.close()


@pytest.mark.parametrize("path", ["/", "/map.js", "/map.css", "/land.svg"])
async def test_the_page_fetches_nothing_from_elsewhere_and_may_not(
    tmp_path: Path, path: str
) -> None:
    async with shown(Time(), tmp_path) as (_, visitor, _url):
        answer = await visitor.get(path)
        text = await answer.text()
    assert answer.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    links = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+", text))
    assert links <= {"http://www.w3.org", "//www.w3.org"}
    assert not re.search(r"\son[a-z]+=|style=|innerHTML", text)


def test_no_two_parts_of_the_page_have_one_name() -> None:
    names = re.findall(r' id="([^"]+)"', (ASSETS / "map.html").read_text())
    assert len(names) > 10
    assert sorted(names) == sorted({*names})


def test_the_land_comes_with_its_licence() -> None:
    assert "Permission to use, copy, modify" in (ASSETS / "land.LICENSE").read_text()

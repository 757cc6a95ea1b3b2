"""Pages on a port: files for anybody, what they show for those who may see it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from mediafleet_common.pages.feed import Feed
from mediafleet_common.pages.files import ASSETS, HEADERS
from mediafleet_common.pages.site import Site, View
from mediafleet_common.serving.access import TokenFile
from mediafleet_common.serving.http import HttpServer
from mediafleet_testbed.paths import REPOSITORY

OURS = [file for file in sorted(ASSETS.iterdir()) if not file.name.startswith("uplot")]


class Shown:
    """What a page shows, as a test says."""

    def __init__(self) -> None:
        self.body: bytes | None = b"1"
        self.read = 0

    def __call__(self) -> bytes | None:
        self.read += 1
        return self.body


@asynccontextmanager
async def site(shown: Shown, token: Path | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    made = Site([View.FLEETS], shown)
    access = TokenFile(token) if token else None
    http = HttpServer(
        "127.0.0.1:0",
        lambda: None,
        routes=made.routes(),
        registry=CollectorRegistry(),
        reports=made.reports(),
        access=access,
    )
    async with http, aiohttp.ClientSession(f"http://127.0.0.1:{http.port}") as client:
        yield client


async def next_data(answer: aiohttp.ClientResponse) -> bytes:
    async with asyncio.timeout(20):
        while not (line := await answer.content.readline()).startswith(b"data: "):
            assert line, "the stream has ended"
    return line.removeprefix(b"data: ").strip()


async def test_every_file_that_a_page_names_is_served_with_the_strict_policy() -> None:
    async with site(Shown()) as client:
        async with client.get("/ui") as answer:
            text = await answer.text()
            assert answer.url.path == "/ui/"
        assert 'data-views="fleets"' in text
        named = re.findall(r'(?:href|src)="([^"#]+)"', text)
        scripts = [file.read_text() for file in OURS if file.suffix == ".js"]
        named += [name for script in scripts for name in re.findall(r'from "\./([\w.]+)"', script)]
        assert len(named) > 6
        for name in ["", *named]:
            async with client.get(f"/ui/{name}") as answer:
                assert answer.status == 200, name
                policy = answer.headers["Content-Security-Policy"]
                assert policy == HEADERS["Content-Security-Policy"]
                assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_policy_allows_nothing_from_elsewhere_and_nothing_inline() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.name)
def test_no_page_names_another_machine_or_has_script_or_style_inside(file: Path) -> None:
    text = file.read_text().replace("http://www.w3.org/2000/svg", "")
    assert "http:" not in text
    assert "https:" not in text
    assert "//" not in re.sub(r"(?m)^\s*//.*$", "", text)
    if file.suffix == ".html":
        assert not re.search(r"<style|style=|\bon\w+=|<script[^>]*>[^<]", text)
    if file.suffix == ".js":
        assert "innerHTML" not in text


def test_samples_that_a_page_names_exist() -> None:
    texts = "".join(file.read_text() for file in OURS)
    named = re.findall(r"samples/[\w./-]+\w", texts)
    assert named
    assert [name for name in named if not (REPOSITORY / name).exists()] == []


def test_the_charts_come_with_their_licence() -> None:
    assert "MIT" in (ASSETS / "uplot.LICENSE").read_text()
    assert "1.6" in (ASSETS / "uplot.js").read_text()[:300]


@pytest.mark.parametrize("path", ["/ui/data", "/ui/events"])
async def test_what_a_page_shows_needs_the_token_and_its_files_do_not(
    path: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("open sesame")
    async with site(Shown(), tmp_path / "token") as client:
        async with client.get("/ui/") as answer:
            assert answer.status == 200
        async with client.get(path) as answer:
            assert answer.status == 401
        async with client.get(path, headers={"Authorization": "Bearer open sesame"}) as answer:
            assert answer.status == 200


async def test_a_page_of_a_desk_that_knows_nothing_yet_says_so() -> None:
    shown = Shown()
    shown.body = None
    async with site(shown) as client, client.get("/ui/data") as answer:
        assert answer.status == 503
        assert "not known yet" in await answer.text()
        async with client.get("/ui/events") as events:
            assert events.status == 503


async def test_each_who_looks_is_told_what_is_so_and_then_each_change() -> None:
    shown = Shown()
    async with (
        site(shown) as client,
        client.get("/ui/events") as one,
        client.get("/ui/events") as other,
    ):
        assert one.headers["Content-Type"].startswith("text/event-stream")
        assert [await next_data(each) for each in (one, other)] == [b"1", b"1"]
        shown.body = b"2"
        assert [await next_data(each) for each in (one, other)] == [b"2", b"2"]


async def test_what_is_unknown_for_a_while_is_sent_once_it_is_known_again() -> None:
    shown = Shown()
    async with site(shown) as client, client.get("/ui/events") as answer:
        assert await next_data(answer) == b"1"
        shown.body = None
        async with client.get("/ui/data") as now:
            assert now.status == 503
        shown.body = b"2"
        assert await next_data(answer) == b"2"


async def test_nothing_is_read_while_nobody_looks() -> None:
    shown = Shown()
    async with site(shown) as client:
        async with client.get("/ui/data") as answer:
            await answer.read()
        assert shown.read == 1
        async with client.get("/ui/events") as answer:
            assert await next_data(answer) == b"1"


async def test_a_stream_ends_after_a_while_so_that_access_is_looked_at_again() -> None:
    feed = Feed(Shown(), stream_seconds=0.05)
    http = HttpServer(
        "127.0.0.1:0", lambda: None, registry=CollectorRegistry(), reports=feed.routes()
    )
    async with http, aiohttp.ClientSession() as client, asyncio.timeout(20):
        url = f"http://127.0.0.1:{http.port}/ui/events"
        async with client.get(url) as answer:
            assert (await answer.read()).startswith(b"data: 1\n\n")


async def test_more_browsers_than_there_is_room_for_are_told_so() -> None:
    feed = Feed(Shown(), most=1)
    http = HttpServer(
        "127.0.0.1:0", lambda: None, registry=CollectorRegistry(), reports=feed.routes()
    )
    async with (
        http,
        aiohttp.ClientSession(f"http://127.0.0.1:{http.port}") as client,
        client.get("/ui/events") as first,
    ):
        assert await next_data(first) == b"1"
        async with client.get("/ui/events") as second:
            assert second.status == 503

"""Metrics over HTTP within bounds: a load, or a typed reason."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from mediafleet_common.probes.http_client import MAX_BYTES, Failure, NoLoad, client, poll
from mediafleet_common.probes.load import Load, Source
from mediafleet_common.serving.http import HttpServer

TRANSCODE = "livepeer_current_sessions_total 2\nlivepeer_max_sessions_total 10\n"
BOMB = gzip.compress(b"livepeer_current_sessions_total 2\n" * 1_000_000)


async def plain(_: web.Request) -> web.Response:
    return web.Response(text=TRANSCODE)


async def html(_: web.Request) -> web.Response:
    return web.Response(text="it works", content_type="text/html")


async def nonsense(_: web.Request) -> web.Response:
    return web.Response(body=b"livepeer_\xff\xfe{{{ 1\n")


async def missing(_: web.Request) -> web.Response:
    return web.Response(status=404)


async def elsewhere(_: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "/plain"})


async def large(_: web.Request) -> web.Response:
    return web.Response(body=b"#" * (MAX_BYTES + 1))


async def bomb(_: web.Request) -> web.Response:
    return web.Response(body=BOMB, headers={"Content-Encoding": "gzip"})


async def silent(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"# more\n" * 10_000)


HANDLERS = (plain, html, nonsense, missing, elsewhere, large, bomb, silent, endless)


@pytest.fixture
async def base() -> AsyncIterator[str]:
    routes = [web.get(f"/{handler.__name__}", handler) for handler in HANDLERS]
    async with HttpServer("127.0.0.1:0", lambda: None, routes=routes) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with client() as session:
        yield session


async def test_a_worker_that_answers_tells_its_load(
    base: str, session: aiohttp.ClientSession
) -> None:
    assert await poll(session, f"{base}/plain", Source.TRANSCODE) == Load(jobs=2, capacity=10)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/html", Failure.UNREADABLE),
        ("/nonsense", Failure.UNREADABLE),
        ("/missing", Failure.STATUS),
        ("/elsewhere", Failure.STATUS),
        ("/large", Failure.TOO_LARGE),
        ("/endless", Failure.TOO_LARGE),
        ("/bomb", Failure.UNREADABLE),
        ("/silent", Failure.TIMED_OUT),
    ],
)
async def test_whatever_else_is_a_typed_reason(
    base: str, session: aiohttp.ClientSession, path: str, why: Failure
) -> None:
    timeout = 0.1 if path == "/silent" else 5.0
    found = await poll(session, base + path, Source.TRANSCODE, timeout)
    assert isinstance(found, NoLoad)
    assert (found.why, bool(found.detail)) == (why, True)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/metrics", "nonsense", "http://[::1", ""],
)
async def test_a_worker_that_is_not_there_is_unreachable(
    session: aiohttp.ClientSession, url: str
) -> None:
    found = await poll(session, url, Source.TRANSCODE, 5.0)
    assert isinstance(found, NoLoad)
    assert found.why is Failure.UNREACHABLE

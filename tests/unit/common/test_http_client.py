"""Metrics over HTTP within bounds: a load, or a typed reason."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Protocol

import pytest
from aiohttp import web

from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.probes.http_client import (
    MAX_BYTES,
    Failure,
    FetchError,
    NoLoad,
    client,
    poll,
)
from mediafleet_common.probes.load import Load, Source
from mediafleet_common.probes.plain_http import poll_pod, read
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


async def pieces(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for line in TRANSCODE.splitlines(keepends=True):
        await response.write(line.encode())
    return response


HANDLERS = (plain, pieces, html, nonsense, missing, elsewhere, large, bomb, silent, endless)


@pytest.fixture
async def base() -> AsyncIterator[str]:
    routes = [web.get(f"/{handler.__name__}", handler) for handler in HANDLERS]
    async with HttpServer("127.0.0.1:0", lambda: None, routes=routes) as server:
        yield f"http://127.0.0.1:{server.port}"


class Poll(Protocol):
    async def __call__(
        self, url: str, source: Source, *, timeout_seconds: float = 5.0
    ) -> Load | NoLoad: ...


@pytest.fixture(params=["of a session", "of pods"])
async def ask(request: pytest.FixtureRequest) -> AsyncIterator[Poll]:
    if request.param == "of pods":
        yield partial(poll_pod, reach=OWN_WORD)
        return
    async with client() as session:
        yield partial(poll, session)


async def test_a_worker_that_answers_tells_its_load(base: str, ask: Poll) -> None:
    assert await ask(f"{base}/plain", Source.TRANSCODE) == Load(jobs=2, capacity=10)


async def test_an_answer_in_pieces_tells_it_too(base: str, ask: Poll) -> None:
    assert await ask(f"{base}/pieces", Source.TRANSCODE) == Load(jobs=2, capacity=10)


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
    base: str, ask: Poll, path: str, why: Failure
) -> None:
    timeout = 0.1 if path == "/silent" else 5.0
    found = await ask(base + path, Source.TRANSCODE, timeout_seconds=timeout)
    assert isinstance(found, NoLoad)
    assert (found.why, bool(found.detail)) == (why, True)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/metrics", "nonsense", "http://[::1", "http://127.0.0.1:99999999/", ""],
)
async def test_a_worker_that_is_not_there_is_unreachable(ask: Poll, url: str) -> None:
    found = await ask(url, Source.TRANSCODE)
    assert isinstance(found, NoLoad)
    assert found.why is Failure.UNREACHABLE


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "localhost", "metadata.internal"])
async def test_a_pod_is_asked_by_an_address_of_pods_alone(host: str) -> None:
    found = await poll_pod(f"http://{host}:80/metrics", Source.TRANSCODE)
    assert isinstance(found, NoLoad)
    assert found.why is Failure.UNREACHABLE


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("came", "body"),
    [
        (HEAD + b"Content-Length: 2\r\n\r\nab", b"ab"),
        (HEAD + b"Content-Length: 2\r\n\r\nabc", b"ab"),
        (HEAD + b"content-encoding: identity\r\n\r\nab", b"ab"),
        (b"HTTP/1.0 200\r\n\r\n", b""),
        (CHUNKED + b"2;a=b\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        (HEAD + b"Content-Length: 3\r\n\r\nab", Failure.UNREACHABLE),
        (CHUNKED + b"3\r\nab", Failure.UNREACHABLE),
        (CHUNKED + b"-3\r\nab\r\n0\r\n\r\n", Failure.UNREACHABLE),
        (CHUNKED + b"2\r\nab\r\n", Failure.UNREACHABLE),
        (CHUNKED + b"x\r\nab\r\n", Failure.UNREACHABLE),
        (HEAD, Failure.UNREACHABLE),
        (b"SSH-2.0\r\n\r\n", Failure.UNREACHABLE),
        (b"HTTP/1.1 2000\r\n\r\n", Failure.UNREACHABLE),
        (b"", Failure.UNREACHABLE),
        (b"HTTP/1.1 503 Busy\r\n\r\n", Failure.STATUS),
        (HEAD + b"Content-Encoding: gzip\r\n\r\nab", Failure.UNREADABLE),
        (HEAD + b"\r\n" + b"#" * (MAX_BYTES + 1), Failure.TOO_LARGE),
    ],
)
def test_only_a_whole_plain_answer_is_read(came: bytes, body: bytes | Failure) -> None:
    if isinstance(body, bytes):
        assert read(came) == body
        return
    with pytest.raises(FetchError) as caught:
        read(came)
    assert caught.value.no_load.why is body


async def test_one_that_keeps_the_connection_open_need_not_close_it() -> None:
    left = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        text = TRANSCODE.encode()
        for part in (HEAD, b"Content-Length: %d\r\n\r\n" % len(text), text[:5], text[5:]):
            writer.write(part)
            await writer.drain()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        left.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await poll_pod(f"http://127.0.0.1:{port}/", Source.TRANSCODE, OWN_WORD, 30.0)
        await left.wait()
    assert found == Load(jobs=2, capacity=10)


async def test_a_refused_connection_is_told_in_words_that_speak_of_no_tls() -> None:
    async with client() as session:
        told = await poll(session, "http://127.0.0.1:1/metrics", Source.EGRESS)
    assert told == NoLoad(Failure.UNREACHABLE, "Connection refused")

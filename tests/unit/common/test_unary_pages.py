"""Pages beside gRPC on the public port: by HTTP/1.1 and HTTP/2, and at nobody's cost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import aiohttp
import grpc.aio
import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.serving.tls import self_signed_context
from mediafleet_common.serving.unary.call import Call
from mediafleet_common.serving.unary.frames import FloodError
from mediafleet_common.serving.unary.limits import PortLimits
from mediafleet_common.serving.unary.pages import Page, PlainRequest
from mediafleet_common.serving.unary.port import UnaryPort

ECHO = "/net.Orchestrator/GetOrchestrator"
LARGE = b"x" * 5_000_000
DEADLINE_SECONDS = 30.0
GET = b"GET /summary?x=1 HTTP/1.1\r\nHost: a\r\naccept: text/html\r\n\r\n"


def pages(path: bytes, accept: bytes) -> Page:
    if path == b"/large":
        return Page(HTTPStatus.OK, "text/plain", LARGE)
    if path == b"/summary":
        return Page(HTTPStatus.OK, "application/json", b"summary for " + accept)
    return Page(HTTPStatus.NOT_FOUND, "text/plain", b"")


def echo(request: bytes, _: Call) -> bytes:
    return request


@asynccontextmanager
async def serving(*, tls: bool = False, **limits: Any) -> AsyncIterator[UnaryPort]:
    contexts = self_signed_context(["127.0.0.1"], pages=True) if tls else None
    made = replace(PortLimits(), **limits)
    async with UnaryPort("127.0.0.1:0", {ECHO.encode(): echo}, contexts, made, pages) as port:
        yield port


async def hung_up(reader: asyncio.StreamReader) -> bytes:
    came = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(DEADLINE_SECONDS):
            while piece := await reader.read(1 << 16):
                came += piece
    return came


@pytest.mark.parametrize("tls", [True, False])
async def test_pages_are_read_by_http1_and_nothing_else_is_there(tls: bool) -> None:
    async with serving(tls=tls) as port, aiohttp.ClientSession() as session:
        base = f"{'https' if tls else 'http'}://127.0.0.1:{port.port}"

        async def ask(method: str, path: str) -> tuple[int, bytes]:
            headers = {"Accept": "text/html"}
            async with session.request(method, base + path, ssl=False, headers=headers) as answer:
                return answer.status, await answer.read()

        assert await ask("GET", "/summary?day=1") == (200, b"summary for text/html")
        assert await ask("HEAD", "/summary") == (200, b"")
        assert await ask("GET", "/large") == (200, LARGE)
        assert (await ask("GET", "/metrics"))[0] == 404
        if tls:
            assert (await ask("POST", "/summary"))[0] == 405


async def test_a_gateway_is_answered_beside_them() -> None:
    async with serving() as port, grpc.aio.insecure_channel(f"127.0.0.1:{port.port}") as channel:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        writer.write(GET[:20])
        assert await channel.unary_unary(ECHO)(b"hello", timeout=20) == b"hello"
        writer.write(GET[20:])
        assert (await hung_up(reader)).endswith(b"\r\n\r\nsummary for text/html")
        writer.close()


async def test_a_browser_that_speaks_http2_reads_them_too() -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with serving(tls=True) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port, ssl=context)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        client.initiate_connection()
        client.increment_flow_control_window(10_000_000)
        head = [(":method", "GET"), (":scheme", "https"), (":authority", "a")]
        client.send_headers(1, [*head, (":path", "/summary"), ("accept", "a/b")], end_stream=True)
        writer.write(client.data_to_send())
        came, status, ended = b"", b"", False
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not ended:
                for event in client.receive_data(await reader.read(1 << 16)):
                    if isinstance(event, h2.events.ResponseReceived):
                        status = dict(event.headers or [])[b":status"]
                    if isinstance(event, h2.events.DataReceived):
                        came += event.data or b""
                    ended = ended or isinstance(event, h2.events.StreamEnded)
        assert (status, came) == (b"200", b"summary for a/b")
        writer.close()


@pytest.mark.parametrize(
    "said",
    [b"GET /" + b"x" * 100_000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5_000, b"GET x\r\n\r\n"],
)
async def test_what_is_no_request_is_hung_up_on(said: bytes) -> None:
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        writer.write(said)
        assert await hung_up(reader) == b""
        assert port.connections == 0
        writer.close()


@pytest.mark.parametrize("said", [b"GET /summary HTT", b"GET /large HTTP/1.1\r\n\r\n"])
async def test_who_does_not_ask_or_read_to_the_end_is_hung_up_on(said: bytes) -> None:
    async with serving(first_call_seconds=0.0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port, limit=1)
        writer.write(said)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while port.connections:  # noqa: ASYNC110 - sockets have no event for it
                await asyncio.sleep(0.01)
        writer.close()
        del reader


async def test_readers_of_pages_make_room_before_a_gateway() -> None:
    async with (
        serving(connections=5) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port.port}") as channel,
    ):
        call = channel.unary_unary(ECHO)
        assert await call(b"a gateway", timeout=20) == b"a gateway"
        opened = [await asyncio.open_connection("127.0.0.1", port.port) for _ in range(20)]
        for _, writer in opened:
            writer.write(GET[:-1])
        assert await call(b"the same", timeout=20) == b"the same"
        assert port.connections <= 5
        for _, writer in opened:
            writer.close()


@given(st.lists(st.integers(0, len(GET)), max_size=6))
def test_a_request_is_answered_alike_however_it_is_cut(cuts: list[int]) -> None:
    request, ends = PlainRequest(), [0, *sorted(cuts), len(GET)]
    told = [request.take(GET[a:b], pages) for a, b in itertools.pairwise(ends)]
    (answer,) = {each for each in told if each is not None}
    assert answer == PlainRequest().take(GET, pages)


@given(st.binary(max_size=200))
def test_noise_is_refused_or_waits_for_its_end(noise: bytes) -> None:
    with contextlib.suppress(FloodError, ValueError):
        answer = PlainRequest().take(noise + b"\r\n\r\n", pages)
        assert answer is not None
        assert answer.startswith(b"HTTP/1.1 ")

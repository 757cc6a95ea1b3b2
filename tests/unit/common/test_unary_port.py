"""The public gRPC port: unary calls as gRPC has them, and what a stranger may cost it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import islice
from typing import Any, Final

import grpc
import grpc.aio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.serving.tls import self_signed_context
from mediafleet_common.serving.unary.call import Call, timeout
from mediafleet_common.serving.unary.frames import FloodError, FrameGuard
from mediafleet_common.serving.unary.limits import PortLimits
from mediafleet_common.serving.unary.port import UnaryPort
from mediafleet_testbed.load.floods import FLOODS
from mediafleet_testbed.load.h2_load import Task, call_each, frame, headers

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
HEAD: Final = headers(Task("a", 1, False, 0.0, 1, ()))
ECHO: Final = "/net.Orchestrator/GetOrchestrator"
LARGE: Final = b"x" * 300_000
DEADLINE_SECONDS: Final = 30.0


class Methods:
    """What is served."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.go_on = asyncio.Event()
        self.waiting = asyncio.Event()

    def all(self) -> dict[bytes, Any]:
        names = {"large": self.large, "slow": self.slow, "broken": self.broken, "no": self.no}
        return {ECHO.encode(): self.echo, **{f"/t/{k}".encode(): v for k, v in names.items()}}

    def echo(self, request: bytes, call: Call) -> bytes:
        call.trailing = (("x-host", call.host), ("x-raw-bin", b"\x00\xff"))
        call.initial = tuple((k, v) for k, v in call.metadata() if k.startswith("x-"))
        return request

    def large(self, _: bytes, __: Call) -> bytes:
        return LARGE

    async def slow(self, request: bytes, _: Call) -> bytes:
        self.waiting.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return request

    async def broken(self, _: bytes, __: Call) -> bytes:
        raise RuntimeError("nobody is told this")

    def no(self, _: bytes, call: Call) -> bytes:
        return call.refuse(grpc.StatusCode.NOT_FOUND, "nö, 100 %\n")


@asynccontextmanager
async def serving(*, tls: bool = False, **limits: Any) -> AsyncIterator[tuple[UnaryPort, Methods]]:
    methods = Methods()
    contexts = self_signed_context(["127.0.0.1"]) if tls else None
    port = UnaryPort("127.0.0.1:0", methods.all(), contexts, replace(PortLimits(), **limits))
    async with port:
        yield port, methods


@asynccontextmanager
async def channel(port: UnaryPort) -> AsyncIterator[Callable[..., Any]]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port.port}") as made:
        yield lambda name, body=b"", **more: made.unary_unary(name)(body, **more)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not what():  # noqa: ASYNC110 - sockets have no event for it
            await asyncio.sleep(0.01)


async def hung_up(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await reader.read(1 << 16):
                pass


async def test_calls_are_answered_with_metadata_in_both_directions() -> None:
    async with serving() as (port, _), channel(port) as call:
        made = call(ECHO, b"hello", metadata=(("x-a", "b"), ("x-c-bin", b"\xfe\x00")), timeout=20)
        assert await made == b"hello"
        assert dict(await made.initial_metadata()) == {"x-a": "b", "x-c-bin": b"\xfe\x00"}
        assert dict(await made.trailing_metadata()) == {
            "x-host": "127.0.0.1",
            "x-raw-bin": b"\x00\xff",
        }
        assert await asyncio.gather(*(call("/t/large") for _ in range(50))) == [LARGE] * 50


@pytest.mark.parametrize(
    ("name", "body", "more", "code", "words"),
    [
        ("/t/no", b"", {}, "NOT_FOUND", "nö, 100 %\n"),
        ("/t/none", b"", {}, "UNIMPLEMENTED", "no such method"),
        ("/t/broken", b"", {}, "UNKNOWN", "an error of the server"),
        ("/t/slow", b"", {"timeout": 0.2}, "DEADLINE_EXCEEDED", ""),
        (ECHO, b"x" * 70_000, {}, "RESOURCE_EXHAUSTED", "too large"),
        (ECHO, b"", {"compression": grpc.Compression.Gzip}, None, ""),
        (ECHO, b"x" * 999, {"compression": grpc.Compression.Gzip}, "UNIMPLEMENTED", "plain"),
    ],
)
async def test_what_cannot_be_answered_is_refused_with_a_status(
    name: str, body: bytes, more: dict[str, Any], code: str | None, words: str
) -> None:
    async with serving() as (port, _), channel(port) as call:
        if code is None:
            assert await call(name, body, **more) == body
        else:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(name, body, **more)
            assert caught.value.code().name == code
            assert words in (caught.value.details() or "")
        assert await call(ECHO, b"still here") == b"still here"


async def test_a_call_that_nobody_waits_for_is_given_up() -> None:
    async with serving() as (port, methods), channel(port) as call:
        made = call("/t/slow")
        await methods.waiting.wait()
        made.cancel()
        await until(lambda: methods.cancelled == 1)


async def test_calls_under_way_are_answered_when_the_server_leaves() -> None:
    async with serving() as (port, methods), channel(port) as call:
        made = asyncio.ensure_future(call("/t/slow", b"last"))
        await methods.waiting.wait()
        leaving = asyncio.ensure_future(port.__aexit__(None, None, None))
        await asyncio.sleep(0)
        methods.go_on.set()
        assert await made == b"last"
        await leaving


@pytest.mark.parametrize(
    "limits",
    [{"handshake_seconds": 0.0}, {"first_call_seconds": 0.0}],
)
async def test_who_says_nothing_is_hung_up_on(limits: dict[str, Any]) -> None:
    tls = "handshake_seconds" in limits
    async with serving(tls=tls, **limits) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        await hung_up(reader)
        assert port.connections == 0
        writer.close()


@pytest.mark.parametrize("limits", [{"idle_seconds": 0.0}, {"age_seconds": 0.0}])
async def test_an_idle_or_old_connection_is_ended_in_good_manners(
    limits: dict[str, Any],
) -> None:
    async with serving(**limits) as (port, _), channel(port) as call:
        for _ in range(3):
            assert await call(ECHO, b"again", wait_for_ready=True) == b"again"
            await until(lambda: port.connections == 0)


async def test_a_request_that_never_ends_is_hung_up_on() -> None:
    async with serving(call_seconds=0.0) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        writer.write(PREFACE + frame(1, 0x4, 1, HEAD))
        await hung_up(reader)
        writer.close()


async def test_one_more_than_so_many_takes_the_place_of_the_most_silent() -> None:
    async with serving(connections=10) as (port, _), channel(port) as call:
        assert await call(ECHO, b"a gateway") == b"a gateway"
        opened = [await asyncio.open_connection("127.0.0.1", port.port) for _ in range(30)]
        await until(lambda: port.connections == 10)
        for reader, _ in opened[:21]:
            await hung_up(reader)
        assert await call(ECHO, b"the same gateway") == b"the same gateway"
        async with channel(port) as another:
            assert await another(ECHO, b"a new one") == b"a new one"
        for _, writer in opened:
            writer.close()


async def test_bodies_that_do_not_end_are_bounded_over_all_connections() -> None:
    async with serving(unread_bytes=100_000) as (port, _):
        ends = []
        for _ in range(4):
            reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
            piece = frame(0, 0, 1, struct.pack(">BI", 0, 60_000) + b"x" * 10_000)
            writer.write(PREFACE + frame(1, 0x4, 1, HEAD) + piece)
            writer.write(b"".join(frame(0, 0, 1, b"x" * 10_000) for _ in range(3)))
            ends.append((reader, writer))
        left = [asyncio.ensure_future(hung_up(reader)) for reader, _ in ends]
        await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        async with channel(port) as call:
            assert await call(ECHO, b"others") == b"others"
        for _, writer in ends:
            writer.close()
        await asyncio.gather(*left)
        await until(lambda: port.connections == 0)
        assert port.hold(0)


@pytest.mark.parametrize("kind", sorted(set(FLOODS) - {"unread_answers", "hpack_bombs"}))
def test_a_flood_is_noticed_by_its_frames(kind: str) -> None:
    guard = FrameGuard(PortLimits().header_bytes, PortLimits().spare_frames)
    guard.take(PREFACE)

    def send(pieces: int) -> None:
        for piece in islice(FLOODS[kind](), pieces):
            guard.take(piece)

    with pytest.raises(FloodError):
        send(2_000)


def test_calls_that_are_taken_back_are_a_flood_before_the_first_write_of_them_is_handled() -> None:
    guard = FrameGuard(PortLimits().header_bytes, PortLimits().spare_frames)
    guard.take(PREFACE)
    with pytest.raises(FloodError):
        guard.take(next(FLOODS["rapid_resets"]()))


async def test_others_have_a_turn_among_the_calls_that_one_connection_sends_at_once() -> None:
    count, between = 90, list[int]()
    handled: list[Call] = []

    def echo(request: bytes, call: Call) -> bytes:
        handled.append(call)
        asyncio.get_running_loop().call_soon(lambda: between.append(len(handled)))
        return request

    async with serving() as (port, _):
        port.methods[ECHO.encode()] = echo
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        empty = struct.pack(">BI", 0, 0)
        calls = (
            frame(1, 0x4, number, HEAD) + frame(0, 0x1, number, empty)
            for number in range(1, 2 * count, 2)
        )
        writer.write(PREFACE + b"".join(calls))
        await until(lambda: len(handled) == count)
        assert min(between) < count / 2
        writer.close()
        del reader


@pytest.mark.parametrize("kind", sorted(FLOODS))
async def test_a_flood_is_hung_up_on(kind: str) -> None:
    async with serving(unsent_bytes=100_000, call_seconds=1.0) as (port, methods):
        if kind == "unread_answers":
            port.methods[ECHO.encode()] = methods.large
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port, limit=1)
        writer.write(PREFACE)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(DEADLINE_SECONDS):
                for piece in FLOODS[kind]():
                    writer.write(piece)
                    await writer.drain()
                    if writer.is_closing() or port.connections == 0:
                        break
                    await asyncio.sleep(0)
        await until(lambda: port.connections == 0)
        writer.close()
        del reader


async def test_well_behaved_callers_are_no_flood() -> None:
    async with serving(spare_frames=50) as (port, _):
        task = Task("127.0.0.1", port.port, False, 0.0, 20, ("00" * 40,) * 2_000)
        result = await asyncio.to_thread(call_each, task)
        assert (result.answered, result.failed) == (2_000, 0)


@given(st.data())
def test_frames_are_counted_alike_however_they_are_cut(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(0, 300), max_size=20))
    kinds = data.draw(st.lists(st.sampled_from([0, 1, 3, 6, 9]), min_size=20, max_size=20))
    stream = PREFACE + b"".join(
        frame(kind, data.draw(st.sampled_from([0, 4, 5])), 1, b"x" * size)
        for size, kind in zip(sizes, kinds, strict=False)
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=30)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    def verdict(parts: list[bytes]) -> str:
        guard = FrameGuard(500, 5)
        try:
            for part in parts:
                guard.take(part)
        except FloodError as error:
            return str(error)
        return ""

    assert verdict(pieces) == verdict([stream])


@given(st.binary(max_size=12))
def test_a_timeout_is_a_number_with_a_unit_or_none(value: bytes) -> None:
    found = timeout(value)
    assert found is None or found >= 0
    assert (timeout(b"250m"), timeout(b"2S"), timeout(b"1H"), timeout(b"x")) == (
        0.25,
        2.0,
        3600.0,
        None,
    )


async def test_noise_in_place_of_tls_or_http2_ends_that_connection_alone() -> None:
    for tls in (True, False):
        async with serving(tls=tls) as (port, _):
            http1 = b"GET / HTTP/1.1\r\n\r\n" * 9
            for noise in (http1, b"\xff" * 400, PREFACE[:-1] + b"\xff" * 99):
                reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
                writer.write(noise)
                writer.write_eof()
                await hung_up(reader)
                writer.close()
            await until(lambda: port.connections == 0)


def test_no_tls_older_than_1_2() -> None:
    context = self_signed_context(["a"])()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2

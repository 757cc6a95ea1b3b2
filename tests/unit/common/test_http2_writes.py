"""What our HTTP/2 server writes, and in how many pieces."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
from tests.kit.egress.scene import eventually

from mediafleet_common.serving.http2 import Http2Connection, Limits, Stream

LIMITS = Limits()


class Wire(asyncio.Transport):
    """What a connection writes."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        assert not self.closed
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close


class Client:
    """An HTTP/2 client on the other end, with large windows."""

    def __init__(self, server: Http2Connection) -> None:
        self._server = server
        self._wire = Wire()
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 24})
        self._h2.increment_flow_control_window(1 << 24)
        server.connection_made(self._wire)
        server.data_received(self._h2.data_to_send())

    def post(self, length: int | None) -> int:
        """The head of a request; its stream."""
        stream = self._h2.get_next_available_stream_id()
        head = {":method": "POST", ":path": "/", ":scheme": "https", ":authority": "a"}
        if length is not None:
            head["content-length"] = str(length)
        self._h2.send_headers(stream, list(head.items()))
        self._server.data_received(self._h2.data_to_send())
        return stream

    def body(self, stream: int, data: bytes) -> None:
        """All of its body."""
        self._h2.send_data(stream, data, end_stream=True)
        self._server.data_received(self._h2.data_to_send())

    async def heard(self) -> tuple[list[bytes], list[h2.events.Event]]:
        """What was written since the last look, and what it says."""
        for _ in range(5):
            await asyncio.sleep(0)
        writes = self._wire.writes[:]
        self._wire.writes.clear()
        return writes, [event for each in writes for event in self._h2.receive_data(each)]

    def gone(self) -> None:
        self._server.connection_lost(None)


def widened(events: list[h2.events.Event], stream: int) -> int:
    return sum(
        event.delta or 0
        for event in events
        if isinstance(event, h2.events.WindowUpdated) and event.stream_id == stream
    )


async def test_an_answer_is_one_write_with_all_that_belongs_to_it() -> None:
    async def handle(stream: Stream) -> None:
        stream.let_in()
        assert await stream.read(99) == b"hi"
        await stream.respond(200, b"ok", [("x-name", "value")])

    client = Client(Http2Connection(handle, LIMITS))
    await client.heard()
    stream = client.post(2)
    await client.heard()
    client.body(stream, b"hi")
    writes, events = await client.heard()
    assert len(writes) == 1
    assert [type(each) for each in events] == [
        h2.events.ResponseReceived,
        h2.events.DataReceived,
        h2.events.StreamEnded,
    ]
    client.gone()


async def test_what_is_long_is_written_bit_by_bit() -> None:
    async def handle(stream: Stream) -> None:
        await stream.respond(200, b"x" * 1_000_000)

    client = Client(Http2Connection(handle, LIMITS))
    client.body(client.post(None), b"")
    writes, events = await client.heard()
    assert max(map(len, writes)) < 100_000
    got = sum(len(each.data or b"") for each in events if isinstance(each, h2.events.DataReceived))
    assert got == 1_000_000
    client.gone()


async def test_only_a_body_that_does_not_fit_its_window_is_let_in_by_a_larger_one() -> None:
    waiting = asyncio.Event()

    async def handle(stream: Stream) -> None:
        stream.let_in()
        await waiting.wait()

    client = Client(Http2Connection(handle, LIMITS))
    await client.heard()
    wide = LIMITS.large_window - LIMITS.small_window
    for length, more in {LIMITS.small_window: 0, LIMITS.small_window + 1: wide, None: wide}.items():
        stream = client.post(length)
        _, events = await client.heard()
        assert widened(events, stream) == more
    client.gone()


async def test_a_connection_that_is_ended_says_so_before_it_closes() -> None:
    async def handle(stream: Stream) -> None:
        await stream.respond(200)

    server = Http2Connection(handle, LIMITS)
    client = Client(server)
    await client.heard()
    server.close()
    _, events = await client.heard()
    assert [type(each) for each in events] == [h2.events.ConnectionTerminated]
    client.gone()


async def test_a_connection_that_is_over_leaves_nothing_to_the_collector() -> None:
    async def handle(stream: Stream) -> None:
        await stream.respond(200, b"ok")

    gc.disable()
    try:
        server = Http2Connection(handle, LIMITS)
        left: list[weakref.ref[Any]] = [weakref.ref(server), weakref.ref(server._h2)]
        client = Client(server)
        client.body(client.post(2), b"hi")
        await client.heard()
        client.gone()
        await client.heard()
        del client, server
        assert [each() for each in left] == [None, None]
    finally:
        gc.enable()


async def test_only_the_latest_streams_that_are_over_are_remembered() -> None:
    async def handle(stream: Stream) -> None:
        await stream.respond(200)

    server = Http2Connection(handle, LIMITS)
    client = Client(server)
    for _ in range(1100):
        client.body(client.post(0), b"")
        await asyncio.sleep(0)
        await client.heard()
    assert len(server._h2._closed_streams) == server._h2.MAX_CLOSED_STREAMS == 1024
    client.gone()


def bare() -> tuple[Http2Connection, Wire]:
    """A connection that has been greeted."""

    async def handle(stream: Stream) -> None:
        await stream.respond(200)

    server, wire = Http2Connection(handle, LIMITS), Wire()
    server.connection_made(wire)
    client = h2.connection.H2Connection()
    client.initiate_connection()
    server.data_received(client.data_to_send())
    return server, wire


async def test_headers_that_are_no_utf_8_end_the_connection_and_nothing_else() -> None:
    server, wire = bare()
    client = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))
    client.initiate_connection()
    client.clear_outbound_data_buffer()
    head = [(b":method", b"GET"), (b":path", b"/"), (b":scheme", b"https"), (b"x", b"\xff")]
    client.send_headers(1, head, end_stream=True)
    server.data_received(client.data_to_send())
    assert wire.is_closing()
    server.connection_lost(None)


async def test_a_peer_that_asks_and_reads_nothing_is_ended() -> None:
    server, wire = bare()
    server.pause_writing()
    pings = (b"\0\0\x08\x06\0\0\0\0\0" + b"12345678") * 1000
    for _ in range(10):
        server.data_received(pings)
    assert not wire.is_closing()
    for _ in range(10):
        server.data_received(pings)
    assert wire.is_closing()
    server.connection_lost(None)


async def test_a_peer_that_reads_may_ask_as_often_as_it_likes() -> None:
    server, wire = bare()
    for _ in range(30):
        server.data_received((b"\0\0\x08\x06\0\0\0\0\0" + b"12345678") * 1000)
        await asyncio.sleep(0)
        wire.writes.clear()
    assert not wire.is_closing()
    server.connection_lost(None)


async def nothing(stream: Stream) -> None:
    await stream.respond(200)


async def test_a_peer_that_answers_no_ping_is_ended_and_its_requests_broken_off() -> None:
    broken = asyncio.Event()

    async def waits(stream: Stream) -> None:
        stream.on_closed(broken.set)
        await stream.closed.wait()

    limits = Limits(ping_every=0.01, ping_within=0.01, first_request_within=0.01)
    server = Http2Connection(waits, limits)
    client = Client(server)
    client.post(None)
    await eventually(lambda: client._wire.closed)
    client.gone()
    assert broken.is_set()


async def test_a_peer_that_answers_each_ping_stays() -> None:
    limits = Limits(ping_every=0.005, ping_within=60, first_request_within=0.01)
    server = Http2Connection(nothing, limits)
    client = Client(server)
    client.body(client.post(0), b"")
    pings = 0
    async with asyncio.timeout(60):
        while pings < 5:
            _, events = await client.heard()
            pings += sum(isinstance(each, h2.events.PingReceived) for each in events)
            server.data_received(client._h2.data_to_send())
            await asyncio.sleep(0.001)
    assert not client._wire.closed
    client.gone()


async def test_a_peer_that_asks_for_nothing_is_ended() -> None:
    client = Client(Http2Connection(nothing, Limits(first_request_within=0.01)))
    await eventually(lambda: client._wire.closed)
    client.gone()

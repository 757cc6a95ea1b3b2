"""HTTP/2 on the server's side: requests as streams, over the h2 library (RFC 9113).

What servers at hand do not give together and remote workers need: gRPC with trailers, uploads of
hundreds of megabytes over long distances, connections without an end, and PING, so that a silent
peer is found out. See docs/adr for what was weighed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Final, cast

import h2.config
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from mediafleet_common.serving.http2_state import Http2State

Headers = Iterable[tuple[str, str]]

_MOST_JOINED: Final = 64 * 1024
_MOST_UNREAD: Final = 256 * 1024
"""Headers and answers to PING and the like that a peer does not read: they have no window."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may cost; times in seconds, sizes in bytes."""

    ping_every: float = 10.0
    ping_within: float = 5.0
    """A peer that does not answer a PING for so long is gone."""
    first_request_within: float = 10.0
    streams: int = 100
    """Requests at a time."""
    header_bytes: int = 16 * 1024
    small_window: int = 64 * 1024
    """Of a request that has not been let in."""
    large_window: int = 8 * 1024 * 1024
    """Of one that has: 80 MB a second at a round trip of 0.1 s."""


class StreamClosedError(Exception):
    """The peer has ended the stream, or the connection."""


class Stream:
    """One request, and the answer to it."""

    def __init__(self, connection: Http2Connection, number: int, headers: dict[str, str]) -> None:
        self._connection = connection
        self._number = number
        self.headers: Final = headers
        """By lower-case name; the last one of a name."""
        self.closed: Final = asyncio.Event()
        """Set when the peer has ended the stream, or the connection."""
        self._chunks: deque[tuple[bytes, int]] = deque()
        self._ended = False
        self._news = asyncio.Event()
        self._on_closed: Callable[[], None] = lambda: None

    @property
    def method(self) -> str:
        """GET, POST, …"""
        return self.headers.get(":method", "")

    @property
    def path(self) -> str:
        """With the query."""
        return self.headers.get(":path", "")

    @property
    def peer(self) -> str:
        """Address of who is connected, for people."""
        return self._connection.peer

    def on_closed(self, call: Callable[[], None]) -> None:
        """What to call when the peer has ended the stream, or the connection; at once, if it has.
        Cheaper than a task that waits for it, where streams are many and idle."""
        self._on_closed = call
        if self.closed.is_set():
            call()

    def let_in(self) -> None:
        """Allow the body to come fast: its sender has shown that it may send one. A short one comes
        in the window that there is."""
        self._connection.widen(self._number, self.headers.get("content-length", ""))

    async def body(self) -> AsyncIterator[bytes]:
        """The body as it comes; what is not taken is not sent.

        Raises:
            StreamClosedError: it was broken off.
        """
        while True:
            while self._chunks:
                data, size = self._chunks.popleft()
                if data:
                    yield data
                self._connection.taken(self._number, size)
            if self._ended:
                return
            if self.closed.is_set():
                raise StreamClosedError
            self._news.clear()
            await self._news.wait()

    async def read(self, most: int) -> bytes | None:
        """The whole body; `None`: it is longer than `most` bytes.

        Raises:
            StreamClosedError: it was broken off.
        """
        parts = bytearray()
        async for chunk in self.body():
            parts += chunk
            if len(parts) > most:
                return None
        return bytes(parts)

    async def respond(self, status: int, body: bytes = b"", headers: Headers = ()) -> None:
        """A whole answer; the rest of the request is not waited for."""
        sized = [(":status", str(status)), ("content-length", str(len(body))), *headers]
        self.send_headers(sized, end=not body)
        if body:
            await self.send(body, end=True)
        self._connection.finish(self._number, whole=self._ended)

    def send_headers(self, headers: Headers, *, end: bool = False) -> None:
        """Headers, or trailers when `end` is set after data.

        Raises:
            StreamClosedError: nobody listens any more.
        """
        self._connection.send_headers(self._number, list(headers), end=end)

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Data, as fast as the peer takes it.

        Raises:
            StreamClosedError: nobody listens any more.
        """
        await self._connection.send_data(self, self._number, data, end=end)

    def fed(self, data: bytes, size: int) -> None:
        """For the connection: data has come."""
        self._chunks.append((data, size))
        self._news.set()

    def end(self, *, broken: bool) -> None:
        """For the connection: the request is whole, or nobody is there any more."""
        if broken:
            self.closed.set()
            self._on_closed()
        else:
            self._ended = True
        self._news.set()

    def unread(self) -> int:
        """For the connection: bytes that were received and not taken."""
        size = sum(size for _, size in self._chunks)
        self._chunks.clear()
        return size


Handler = Callable[[Stream], Awaitable[None]]


class Http2Connection(asyncio.Protocol):
    """One connection; `handle` is called with each request, in a task of its own."""

    def __init__(self, handle: Handler, limits: Limits = Limits()) -> None:
        # What is sent is ours, and in order.
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._h2 = Http2State(config)
        self._handle = handle
        self._limits = limits
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._timer: asyncio.TimerHandle | None = None
        """The next step of keep-alive. No task: there are thousands of idle connections."""
        self._due: float | None = None
        """When a PING is to be answered; `None`: none is under way."""
        self._unread = 0
        """Bytes beside bodies that were written since the peer reads nothing."""
        self._served = False
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self._out_size = 0
        """Bytes that are written when this turn of the loop ends."""
        self.peer = "?"

    # From the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello, and begin to ask for signs of life."""
        self._transport = cast("asyncio.Transport", transport)
        name = transport.get_extra_info("peername")
        if name:
            self.peer = f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
        codes = h2.settings.SettingCodes
        self._h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                codes.MAX_CONCURRENT_STREAMS: self._limits.streams,
                codes.MAX_HEADER_LIST_SIZE: self._limits.header_bytes,
                codes.INITIAL_WINDOW_SIZE: self._limits.small_window,
            },
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(2 * self._limits.large_window)
        self._flush()
        self._timer = self._loop.call_later(self._limits.first_request_within, self._look)

    def data_received(self, data: bytes) -> None:
        """What the peer has sent."""
        try:
            for event in self._h2.receive_data(data):
                self._take(event)
        except (h2.exceptions.H2Error, ValueError) as error:
            # ValueError: of headers that are no UTF-8.
            _log.debug("%s speaks no HTTP/2: %s", self.peer, type(error).__name__)
            self._flush()
            self.close()
            return
        self._flush()

    def eof_received(self) -> bool:
        """The peer says no more: neither do we."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """All requests are broken off."""
        self._transport = None
        self._h2.forget()
        if self._timer is not None:
            self._timer.cancel()
        for stream in self._streams.values():
            stream.end(broken=True)
        self._streams.clear()
        self._room.set()
        self._writable.set()
        for task in self._tasks:
            task.cancel()

    def pause_writing(self) -> None:
        """The peer is slow."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writable.set()

    def close(self) -> None:
        """End the connection in good manners."""
        if self._transport is None:
            return
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._h2.close_connection()
            self._flush()
        self._write()
        self._transport.close()

    # For streams

    def send_headers(self, number: int, headers: list[tuple[str, str]], *, end: bool) -> None:
        """See Stream.send_headers."""
        try:
            self._h2.send_headers(number, headers, end_stream=end)
        except h2.exceptions.ProtocolError as error:
            raise StreamClosedError from error
        self._flush()

    async def send_data(self, stream: Stream, number: int, data: bytes, *, end: bool) -> None:
        """See Stream.send."""
        view = memoryview(data)
        while True:
            while not self._writable.is_set():  # Another stream may have filled it again.
                await self._writable.wait()
            if stream.closed.is_set() or self._transport is None:
                raise StreamClosedError
            try:
                window = self._h2.local_flow_control_window(number)
                size = min(window, self._h2.max_outbound_frame_size, len(view))
                if size or not view:
                    last = end and size == len(view)
                    self._h2.send_data(number, bytes(view[:size]), end_stream=last)
                    self._flush()
                    view = view[size:]
                    if not view:
                        return
                    continue
            except h2.exceptions.ProtocolError as error:
                raise StreamClosedError from error
            self._room.clear()
            await self._room.wait()

    def taken(self, number: int, size: int) -> None:
        """So many bytes of a body were used: as many more may come."""
        if size and self._transport is not None:
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self._h2.acknowledge_received_data(size, number)
            self._flush()

    def widen(self, number: int, length: str) -> None:
        """Let a stream's body come in large windows, if its declared length needs them."""
        if length.isdecimal() and int(length) <= self._limits.small_window:
            return
        more = self._limits.large_window - self._limits.small_window
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._h2.increment_flow_control_window(more, number)
        self._flush()

    def finish(self, number: int, *, whole: bool) -> None:
        """An answer is complete; what is left of its request is not wanted."""
        if not whole:
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self._h2.reset_stream(number, h2.errors.ErrorCodes.NO_ERROR)
            self._flush()

    # How

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(number), headers=headers):
                self._begin(number, headers or [])
            case h2.events.DataReceived():
                self._take_data(event)
            case h2.events.StreamEnded(stream_id=number) if number in self._streams:
                self._streams[number].end(broken=False)
            case h2.events.StreamReset(stream_id=number) if number in self._streams:
                self._streams[number].end(broken=True)
                self._room.set()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._room.set()
            case h2.events.PingAckReceived():
                self._alive()
            case h2.events.ConnectionTerminated():
                self.close()

    def _take_data(self, event: h2.events.DataReceived) -> None:
        number, size = event.stream_id or 0, event.flow_controlled_length or 0
        stream = self._streams.get(number)
        if stream is None:
            self.taken(number, size)
        else:
            stream.fed(event.data or b"", size)

    def _begin(self, number: int, headers: Iterable[tuple[str | bytes, str | bytes]]) -> None:
        self._served = True
        stream = Stream(self, number, {str(name): str(value) for name, value in headers})
        self._streams[number] = stream
        self._spawn(self._serve(stream, number))

    async def _serve(self, stream: Stream, number: int) -> None:
        try:
            await self._handle(stream)
        except StreamClosedError:
            pass
        except Exception:  # noqa: BLE001 - one request's fault ends that request alone
            _log.exception("a request of %s failed", self.peer)
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self._h2.reset_stream(number, h2.errors.ErrorCodes.INTERNAL_ERROR)
            self._flush()
        finally:
            self._streams.pop(number, None)
            self.taken(number, stream.unread())

    def _look(self) -> None:
        """Ask for a sign of life, if the peer has asked for anything in time."""
        if not self._served or self._transport is None:
            self.close()
            return
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._h2.ping(b"mediafle")
        self._flush()
        self._wait_for_answer()

    def _wait_for_answer(self) -> None:
        self._due = self._loop.time() + self._limits.ping_within
        self._timer = self._loop.call_at(self._due, self._silent)

    def _silent(self) -> None:
        due, self._due = self._due, None
        if due is not None and self._loop.time() - due > self._limits.ping_within / 5:
            # We were held up ourselves: the answer may be there, unread.
            self._wait_for_answer()
            return
        _log.info("%s does not answer any more", self.peer)
        if self._transport is not None:
            self._transport.abort()

    def _alive(self) -> None:
        if self._due is None or self._timer is None:
            return
        self._due = None
        self._timer.cancel()
        self._timer = self._loop.call_later(self._limits.ping_every, self._look)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _flush(self) -> None:
        """What is to be sent goes with all else of this turn of the loop: one TLS record, one
        packet. Much of it goes at once, so that the transport says when its peer is slow."""
        data = self._h2.data_to_send()
        if not data or self._is_flooded(len(data)):
            return
        if not self._out:
            self._loop.call_soon(self._write)
        self._out.append(data)
        self._out_size += len(data)
        if self._out_size >= _MOST_JOINED:
            self._write()

    def _is_flooded(self, size: int) -> bool:
        """Whether the peer makes us write and reads nothing: then that was all."""
        self._unread = 0 if self._writable.is_set() else self._unread + size
        if self._unread <= _MOST_UNREAD:
            return False
        if self._transport is not None and not self._transport.is_closing():
            _log.info("%s asks and does not read the answers", self.peer)
            self._transport.abort()
        return True

    def _write(self) -> None:
        if not self._out:
            return
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self._out_size = 0
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

"""One connection of a public port: TLS, HTTP/2 by the h2 library, and unary gRPC calls."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Iterator, Mapping
from typing import Final, Protocol, cast

import grpc
import h2.errors
import h2.events
import h2.exceptions

from mediafleet_common.serving.unary.call import Call, Header, Method, head, tail
from mediafleet_common.serving.unary.frames import FloodError, FrameGuard
from mediafleet_common.serving.unary.http2 import Answers, Http2
from mediafleet_common.serving.unary.limits import PortLimits
from mediafleet_common.serving.unary.pages import Pages, PlainRequest, begins_plain
from mediafleet_common.serving.unary.tls import ServerTls

_PIECE_BYTES: Final = 16 * 1024
_TURN_BYTES: Final = 1024
"""Of frames that are handled before others have a turn: some 15 calls, which take 3 ms."""

_log: Final = logging.getLogger(__name__)


class Port(Protocol):
    """What connections need of the port they came to."""

    @property
    def limits(self) -> PortLimits:
        """What a connection may cost."""

    @property
    def methods(self) -> Mapping[bytes, Method]:
        """By path."""

    @property
    def pages(self) -> Pages | None:
        """What a GET is answered; `None`: nothing."""

    def gone(self, connection: Connection) -> None:
        """The connection is no more."""

    def served(self, connection: Connection) -> None:
        """It has made a call."""

    def hold(self, size: int) -> bool:
        """Bytes of unfinished requests came, or were used (negative); whether there is room."""


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, port: Port, context: ssl.SSLContext | None, now: float) -> None:
        self._port = port
        self._limits = port.limits
        self._tls = None if context is None else ServerTls(context)
        self._h2: Http2 | None = None
        self._guard = FrameGuard(port.limits.header_bytes, port.limits.spare_frames)
        self._transport: asyncio.Transport | None = None
        self._calls: dict[int, Call] = {}
        """Requests that are not answered whole, by stream."""
        self._began: dict[int, float] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._answers = Answers()
        self._unread = memoryview(b"")
        """Frames that were counted and are not handled yet; nothing more is read meanwhile."""
        self._plain: PlainRequest | None = None
        """The request by HTTP/1.1; `None`: it speaks HTTP/2, or has said nothing."""
        self._page = memoryview(b"")
        """What of its answer is still to be sent."""
        self._held = 0
        self._writable = True
        self._leaving = False
        self._aborted = False
        self._host = ""
        self.made_at: Final = now
        self.ready_at: float | None = None
        self.called_at: float | None = None
        """When it made its last call."""

    # From the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; without TLS with HTTP/2 at once."""
        self._transport = cast("asyncio.Transport", transport)
        if self._aborted:
            self._transport.abort()
            return
        name = transport.get_extra_info("peername")
        self._host = name[0] if isinstance(name, tuple) else ""
        if self._tls is None:
            self.ready_at = self.made_at

    def data_received(self, data: bytes) -> None:
        """What the peer has sent."""
        with self._ending_at_faults():
            if self._tls is not None:
                data = self._tls.receive(data)
                if self.ready_at is None and self._tls.ready:
                    self.ready_at = asyncio.get_running_loop().time()
            if data and self._speaks_plain(data):
                self._read_plain(data)
            elif data:
                # All of it before any is handled: a flood is to cost less than it costs its sender.
                self._guard.take(data)
                self._unread = memoryview(bytes(self._unread) + data)
                self._take_turn()
            self._flush()

    def eof_received(self) -> bool:
        """The peer says no more: neither do we."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """All calls are broken off."""
        del error
        self._transport = None
        for task in self._tasks.values():
            task.cancel()
        self._calls.clear()
        self._answers.clear()
        self._unread = memoryview(b"")
        self._release(self._held)
        if self._h2 is not None:
            # It refers to itself, and would wait for the collector, which comes rarely.
            vars(self._h2).clear()
        self._h2 = self._tls = None
        self._port.gone(self)

    def pause_writing(self) -> None:
        """The peer is slow."""
        self._writable = False

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writable = True
        self._push_page()
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._push()

    # From the port

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return bool(self._calls) or bool(self._unread)

    def look(self, now: float) -> None:
        """End it where it is due."""
        limits = self._limits
        if self.ready_at is None:
            if now - self.made_at > limits.handshake_seconds:
                self.abort()
        elif self.called_at is None:
            if now - self.ready_at > limits.first_call_seconds:
                self.abort()
        elif any(now - began > limits.call_seconds for began in self._began.values()):
            self.abort()
        elif now - self.made_at > limits.age_seconds or (
            not self.busy and now - self.called_at > limits.idle_seconds
        ):
            self.leave()

    def leave(self) -> None:
        """Take no more calls; those under way are answered."""
        if self._leaving or self._h2 is None:
            return
        self._leaving = True
        self._flush(self._h2.go_away())
        self._close_if_done()

    def abort(self) -> None:
        """End it at once."""
        self._aborted = True
        if self._transport is not None:
            self._transport.abort()

    # How

    @contextlib.contextmanager
    def _ending_at_faults(self) -> Iterator[None]:
        """A flood ends the connection, and so does what is no HTTP/2 or TLS."""
        try:
            yield
        except FloodError as error:
            _log.info("%s is hung up on: %s", self._host, error)
            self.abort()
        except (h2.exceptions.ProtocolError, ssl.SSLError, ValueError) as error:
            _log.debug("%s speaks no HTTP/2 or TLS: %s", self._host, error)
            self._flush()
            self.abort()

    def _take_turn(self) -> None:
        """Handle some of what came, and the rest after others had a turn."""
        piece, self._unread = self._unread[:_TURN_BYTES], self._unread[_TURN_BYTES:]
        for event in self._begun().receive_data(bytes(piece)):
            self._take(event)
        self._push()
        transport = self._transport
        if self._unread and transport is not None and not transport.is_closing():
            transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        with self._ending_at_faults():
            self._take_turn()
            self._flush()
            if not self._unread and not transport.is_closing():
                transport.resume_reading()

    def _begun(self) -> Http2:
        """HTTP/2, once the peer has said something: who is silent costs its TLS alone."""
        if self._h2 is None:
            self._h2 = Http2.begin(self._limits)
        return self._h2

    def _speaks_plain(self, data: bytes) -> bool:
        if self._plain is None and self._h2 is None and self._port.pages is not None:
            agreed = None if self._tls is None else self._tls.protocol
            if agreed == "http/1.1" or (agreed is None and begins_plain(data)):
                self._plain = PlainRequest()
        return self._plain is not None

    def _read_plain(self, data: bytes) -> None:
        """Take a request for a page; what comes after it is not read."""
        if self._plain is None or self._port.pages is None or self._page or self._leaving:
            return
        answer = self._plain.take(data, self._port.pages)
        if answer is not None:
            self._leaving = True
            self._page = memoryview(answer)
            self._push_page()

    def _push_page(self) -> None:
        """Send as much of a page as the peer takes, and hang up after it."""
        while self._page and self._writable and self._transport is not None:
            piece, self._page = self._page[:_PIECE_BYTES], self._page[_PIECE_BYTES:]
            self._flush(bytes(piece))
            if not self._page and self._transport is not None:
                self._transport.close()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(number), headers=headers):
                self._open(number, cast("list[Header]", headers or []))
            case h2.events.DataReceived(stream_id=int(number)):
                self._feed(number, event.data or b"", event.flow_controlled_length or 0)
            case h2.events.StreamEnded(stream_id=number) if number in self._calls:
                self._run(number, self._calls[number])
            case h2.events.StreamReset(stream_id=int(number)):
                self._drop(number)
            case h2.events.ConnectionTerminated():
                self._leaving = True
                self._close_if_done()

    def _open(self, number: int, headers: list[Header]) -> None:
        now = asyncio.get_running_loop().time()
        self.called_at = now
        self._port.served(self)
        if self._leaving:
            self._reset(number, h2.errors.ErrorCodes.REFUSED_STREAM)
            return
        self._calls[number] = Call(headers, self._host, now)
        self._began[number] = now

    def _feed(self, number: int, data: bytes, size: int) -> None:
        call = self._calls.get(number)
        if call is None:
            self._acknowledge(number, size)
            return
        self._held += size
        call.received += size
        call.body += data
        if not self._port.hold(size):
            raise FloodError("too many unfinished requests")
        if len(call.body) > self._limits.message_bytes + 5:
            call.refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "the message is too large")
            self._finish(number, call, b"")

    def _run(self, number: int, call: Call) -> None:
        """The request is whole."""
        if number in self._answers or number in self._tasks:
            return
        method = self._port.methods.get(call.path)
        status = call.refusal()
        if status is not None:
            if self._port.pages is not None and call.reads:
                self._settle(number, call)
                page = self._port.pages(call.path.partition(b"?")[0], call.accept)
                self._answers.begin_page(self._made, number, page)
            else:
                self._say_http(number, status)
            return
        message = call.message()
        if method is None:
            answer: bytes = call.refuse(grpc.StatusCode.UNIMPLEMENTED, "there is no such method")
        elif message is None:
            packed = grpc.StatusCode.UNIMPLEMENTED if call.compressed else grpc.StatusCode.INTERNAL
            answer = call.refuse(packed, "the request is not one plain message")
        else:
            made = method(message, call)
            if not isinstance(made, bytes):
                self._tasks[number] = asyncio.ensure_future(self._wait(number, call, made))
                return
            answer = made
        self._finish(number, call, answer)

    async def _wait(self, number: int, call: Call, made: object) -> None:
        try:
            async with asyncio.timeout_at(call.gives_up_at):
                answer = await cast("asyncio.Future[bytes]", made)
        except TimeoutError:
            answer = call.refuse(grpc.StatusCode.DEADLINE_EXCEEDED, "the caller's time is over")
        except Exception:  # noqa: BLE001 - one call's fault ends that call alone
            _log.exception("a call of %s failed", self._host)
            answer = call.refuse(grpc.StatusCode.UNKNOWN, "an error of the server")
        self._tasks.pop(number, None)
        if self._calls.get(number) is not call:
            return
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._finish(number, call, answer)
            self._push()
        self._flush()

    def _finish(self, number: int, call: Call, message: bytes) -> None:
        """Answer as far as the peer takes it now."""
        made = self._made
        self._settle(number, call)
        if call.code is not grpc.StatusCode.OK:
            made.send_headers(number, [*head(call), *tail(call)], end_stream=True)
            self._end(number)
            return
        self._answers.begin(made, number, call, message)

    def _push(self) -> None:
        """Send what windows allow, and no more than the peer reads."""
        while self._answers and self._writable and self._answers.pump(self._made, self._end):
            self._flush()
        self._flush()

    def _say_http(self, number: int, status: int) -> None:
        self._made.send_headers(number, [(b":status", str(status).encode())], end_stream=True)
        self._end(number)

    def _end(self, number: int) -> None:
        call = self._calls.pop(number, None)
        self._answers.drop(number)
        self._began.pop(number, None)
        self._guard.answered()
        if call is not None and number in self._made.streams:
            stream_over = self._made.streams[number].closed
            if not stream_over:
                self._reset(number, h2.errors.ErrorCodes.NO_ERROR)
        self._close_if_done()

    def _drop(self, number: int) -> None:
        """Nobody waits for it any more."""
        call = self._calls.pop(number, None)
        self._answers.drop(number)
        self._began.pop(number, None)
        task = self._tasks.pop(number, None)
        if task is not None:
            task.cancel()
        if call is not None:
            self._settle(number, call)
        self._close_if_done()

    def _reset(self, number: int, code: h2.errors.ErrorCodes) -> None:
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._made.reset_stream(number, code)

    def _settle(self, number: int, call: Call) -> None:
        """The request's bytes were used: as many more may come."""
        size, call.received = call.received, 0
        self._acknowledge(number, size)
        self._release(size)

    def _acknowledge(self, number: int, size: int) -> None:
        if size:
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self._made.acknowledge_received_data(size, number)

    def _release(self, size: int) -> None:
        if size:
            self._held -= size
            self._port.hold(-size)

    def _close_if_done(self) -> None:
        if self._leaving and not self._calls and self._transport is not None:
            self._flush()
            self._transport.close()

    @property
    def _made(self) -> Http2:
        if self._h2 is None:
            raise RuntimeError("HTTP/2 has not begun")
        return self._h2

    def _flush(self, more: bytes = b"") -> None:
        """Write what is to be said; `more` are frames that the h2 library knows nothing of."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        data = (self._h2.data_to_send() if self._h2 is not None else b"") + more
        if self._tls is not None:
            if data:
                self._tls.send(data)
            data = self._tls.outgoing()
        if data:
            transport.write(data)
            if transport.get_write_buffer_size() > self._limits.unsent_bytes:
                _log.info("%s is hung up on: it does not read", self._host)
                self.abort()

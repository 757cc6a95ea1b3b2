"""One HTTP/2 connection for unary gRPC calls of bytes, over TLS that is not verified.

Gateways do not verify (go-livepeer server/rpc.go, tlsConfig), and fronts route by SNI. grpcio can
neither skip verification nor check one name and send another, so this is h2 over Python's ssl.
Wire: grpc/grpc doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import socket
import ssl
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from mediafleet_common.dial import resolve
from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.formats.reach import OWN_WORD, Reach

MAX_MESSAGE_BYTES: Final = 1024 * 1024
_MAX_HEADER_BYTES: Final = 16 * 1024
_GRACE_SECONDS: Final = 60.0
"""For calls under way on a connection that the other side ends."""
_WINDOW_BYTES: Final = 2 * MAX_MESSAGE_BYTES
_OK: Final = 0
_REFUSED_STREAM, _CANCEL, _ENHANCE_YOUR_CALM = 7, 8, 11
UNKNOWN, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 2, 8, 12, 13, 14

Metadata: TypeAlias = "tuple[tuple[str, str | bytes], ...]"


class ConnectError(Exception):
    """No connection came about; the text says why and is fit to print."""


class NoHttp2Error(ConnectError):
    """The other side speaks TLS and not HTTP/2."""


class LostError(Exception):
    """The connection broke during a call, or takes no more calls."""


class NotGrpcError(Exception):
    """The other side answered by HTTP and not by gRPC, as proxies do; the text has the status."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the other side, whatever its status."""

    code: int
    """gRPC status; 0 is OK."""
    details: str
    message: bytes
    initial: Metadata = ()
    trailing: Metadata = ()


@dataclass(slots=True)
class _Stream:
    done: asyncio.Future[Reply]
    headers: dict[str, str] = field(default_factory=dict)
    initial: Metadata = ()
    trailing: Metadata = ()
    body: bytearray = field(default_factory=bytearray)


class GrpcConnection(asyncio.Protocol):
    """Calls in parallel over one connection; made by `connect`."""

    def __init__(self, url: NodeUrl) -> None:
        self._url = url
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: _MAX_HEADER_BYTES,
            },
        )
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, _Stream] = {}
        self._pings: list[asyncio.Future[None]] = []
        self._moved = asyncio.Event()
        """Set at each event: a window or a stream may have become free."""
        self._ended = "it speaks no HTTP/2"
        """What to say when it ends; until the other side has sent a frame."""
        self.open = False
        """Whether it takes calls."""
        self.pinged_too_often = False
        """Whether the other side ended it for our PINGs, as grpc's own servers do."""
        self.certificate: bytes | None = None
        """The other side's (DER), over TLS."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin HTTP/2, at once: servers do not speak first."""
        # By its methods alone: uvloop's is no subclass.
        self._transport = cast("asyncio.Transport", transport)
        tls: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
        if tls is not None:
            self.certificate = tls.getpeercert(binary_form=True)
            if tls.selected_alpn_protocol() != "h2":
                self._transport.abort()
                return
        self.open = True
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOW_BYTES)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take frames; what is no HTTP/2 ends the connection."""
        try:
            for event in self._h2.receive_data(data):
                self._ended = "the connection ended"
                self._take(event)
        except (ProtocolError, ValueError):
            self.abort()
            return
        self._send()
        self._moved.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is under way."""
        self.open = False
        del exc
        for stream in self._streams.values():
            _fail(stream.done, LostError(self._ended))
        for ping in self._pings:
            _fail(ping, LostError(self._ended))
        self._moved.set()

    def abort(self) -> None:
        """Hang up at once."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def retire(self, grace_seconds: float) -> None:
        """Take no more calls; hang up once those under way have ended, or after the grace."""
        self.open = False
        if self._streams:
            asyncio.get_running_loop().call_later(grace_seconds, self.abort)
        else:
            self.abort()

    async def call(self, method: str, request: bytes, metadata: Metadata = ()) -> Reply:
        """One call with the bytes as they are.

        Raises:
            LostError: the connection broke, or takes no more calls.
            NotGrpcError: the answer is no gRPC.
        """
        while self.open and not self._has_room():
            await self._wait()
        if not self.open:
            raise LostError("the connection takes no more calls")
        number = self._h2.get_next_available_stream_id()
        stream = _Stream(asyncio.get_running_loop().create_future())
        self._streams[number] = stream
        try:
            self._h2.send_headers(number, self._headers(method, metadata))
            await self._send_body(number, struct.pack(">BI", 0, len(request)) + request)
            return await stream.done
        except ProtocolError as error:
            if stream.done.done():
                return stream.done.result()
            raise LostError(str(error)) from error
        finally:
            del self._streams[number]
            self._cancel(number, stream)
            self._end_if_idle()

    def _end_if_idle(self) -> None:
        if not self.open and not self._streams:
            self.abort()

    async def ping(self) -> None:
        """An HTTP/2 PING, which no application sees.

        Raises:
            LostError: the connection broke.
        """
        if not self.open:
            raise LostError("the connection takes no more calls")
        ping: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pings.append(ping)
        self._h2.ping(b"mediaflt")
        self._send()
        await ping

    def _headers(self, method: str, metadata: Metadata) -> list[tuple[str, str]]:
        return [
            (":method", "POST"),
            (":scheme", self._url.scheme),
            (":path", method),
            (":authority", self._url.target),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "mediafleet"),
            *((key, _text(value)) for key, value in metadata),
        ]

    def _has_room(self) -> bool:
        return self._h2.open_outbound_streams < self._h2.remote_settings.max_concurrent_streams

    async def _send_body(self, number: int, body: bytes) -> None:
        while body:
            size = min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
            if size > 0:
                part, body = body[:size], body[size:]
                self._h2.send_data(number, part, end_stream=not body)
                self._send()
            else:
                await self._wait()
                if not self.open or self._streams[number].done.done():
                    return

    async def _wait(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    def _send(self) -> None:
        if self._transport is not None and (data := self._h2.data_to_send()):
            self._transport.write(data)

    def _cancel(self, number: int, stream: _Stream) -> None:
        """Tell the other side that nobody waits any more."""
        if not stream.done.done() or stream.done.cancelled():
            try:
                self._h2.reset_stream(number, _CANCEL)
                self._send()
            except ProtocolError:
                return

    def _take(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self.pinged_too_often = event.error_code == _ENHANCE_YOUR_CALM
            self._end(event.last_stream_id or 0)
        elif isinstance(event, PingAckReceived):
            while self._pings:
                _set(self._pings.pop(), None)
        elif isinstance(event, DataReceived):
            self._take_data(event)
        elif isinstance(event, ResponseReceived | TrailersReceived | StreamEnded | StreamReset):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                _take_stream(event, stream)

    def _take_data(self, event: DataReceived) -> None:
        self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        stream = self._streams.get(event.stream_id)
        if stream is None or stream.done.done():
            return
        stream.body += event.data
        if len(stream.body) > MAX_MESSAGE_BYTES:
            _set(stream.done, Reply(RESOURCE_EXHAUSTED, "the answer is too large", b""))
            self._h2.reset_stream(event.stream_id, _CANCEL)

    def _end(self, last: int) -> None:
        """The other side takes no more calls; those up to `last` still end."""
        for number, stream in self._streams.items():
            if number > last:
                _fail(stream.done, LostError("the other side takes no more calls"))
        self.retire(_GRACE_SECONDS)


def _take_stream(
    event: ResponseReceived | TrailersReceived | StreamEnded | StreamReset, stream: _Stream
) -> None:
    if isinstance(event, StreamReset) and event.error_code == _REFUSED_STREAM:
        _fail(stream.done, LostError("the other side did not take the call"))
    elif isinstance(event, StreamReset):
        why = f"the other side broke the call off, code {event.error_code}"
        _set(stream.done, Reply(INTERNAL, why, b""))
    elif isinstance(event, StreamEnded):
        _finish(stream)
    else:
        told = [(str(key), str(value)) for key, value in event.headers or ()]
        stream.headers.update(told)
        if isinstance(event, ResponseReceived):
            stream.initial = _metadata(told)
        else:
            stream.trailing = _metadata(told)


def _finish(stream: _Stream) -> None:
    told = stream.headers
    if not told.get("content-type", "").startswith("application/grpc"):
        _fail(stream.done, NotGrpcError(f"HTTP {told.get(':status', '?')} and no gRPC"))
        return
    code = told.get("grpc-status", "")
    number = int(code) if code.isascii() and code.isdigit() and len(code) < 3 else UNKNOWN
    details = unquote(told.get("grpc-message", ""))
    if not stream.trailing:
        # An answer of headers alone: what it tells stands where trailers would.
        stream.initial, stream.trailing = (), stream.initial
    if number == _OK:
        message = _message(bytes(stream.body))
        if message is None:
            number, details = INTERNAL, "the answer is not one message"
    else:
        message = b""
    _set(stream.done, Reply(number, details, message or b"", stream.initial, stream.trailing))


def _message(body: bytes) -> bytes | None:
    """The one message of a body; `None`: it holds none, several or a compressed one."""
    if len(body) < 5:
        return None
    compressed, size = struct.unpack_from(">BI", body)
    return body[5:] if not compressed and len(body) == 5 + size else None


def _metadata(headers: Iterable[tuple[str, str]]) -> Metadata:
    return tuple(
        (key, _binary(value) if key.endswith("-bin") else value)
        for key, value in headers
        if not key.startswith(":")
    )


def _binary(value: str) -> bytes:
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4))
    except (binascii.Error, ValueError):
        return b""


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else base64.b64encode(value).decode().rstrip("=")


def _set(future: asyncio.Future[Reply] | asyncio.Future[None], value: Reply | None) -> None:
    if not future.done():
        future.set_result(value)  # type: ignore[arg-type]


def _fail(future: asyncio.Future[Reply] | asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        # Its waiter may have been cancelled at the same moment.
        future.exception()


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


_UNVERIFIED: Final = _unverified()


def _no_tls(error: ssl.SSLError) -> str:
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE"):
        return "it speaks no TLS: wrong port?"
    return f"no TLS: {error.reason or error}"


async def _open(
    url: NodeUrl, addresses: Iterable[tuple[int, str]], tls: ssl.SSLContext | None
) -> GrpcConnection:
    """The first address that answers; the last one's error, where none does."""
    loop = asyncio.get_running_loop()
    failed: OSError | None = None
    for family, address in addresses:
        try:
            _, connection = await loop.create_connection(
                lambda: GrpcConnection(url),
                address,
                url.port,
                family=family,
                flags=socket.AI_NUMERICHOST,
                ssl=tls,
                server_hostname=None if tls is None else url.host,
            )
        except OSError as error:
            failed = error
        else:
            return connection
    raise failed or OSError("no address")


async def connect(url: NodeUrl, reach: Reach = OWN_WORD) -> GrpcConnection:
    """A connection to a node, with its own name as SNI; the caller bounds the time.

    Raises:
        NoHttp2Error: it speaks TLS and not HTTP/2.
        ConnectError: there is no connection, or no TLS.
    """
    tls = _UNVERIFIED if url.scheme == "https" else None
    try:
        connection = await _open(url, await resolve(url.host, url.port, reach), tls)
    except ssl.SSLError as error:
        raise ConnectError(_no_tls(error)) from error
    except socket.gaierror as error:
        raise ConnectError("no such host name") from error
    except ConnectionRefusedError as error:
        raise ConnectError("connection refused") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConnectError(why or type(error).__name__) from error
    if tls is not None and not connection.open:
        raise NoHttp2Error("it speaks TLS and not HTTP/2")
    return connection

"""One HTTP/2 connection for unary gRPC calls of bytes: h2 over Python's ssl.

Wire: grpc/grpc doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, cast

from h2.config import H2Configuration
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

from mediafleet_common.formats.grpc_message import Metadata, framed, header_text
from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.probes.grpc_reply import MAX_MESSAGE_BYTES, LostError, Reply, Stream, fail
from mediafleet_common.serving.http2_state import Http2State

_MAX_HEADER_BYTES: Final = 16 * 1024
_GRACE_SECONDS: Final = 60.0
"""For calls under way on a connection that the other side ends."""
_WINDOW_BYTES: Final = 2 * MAX_MESSAGE_BYTES
_CANCEL, _ENHANCE_YOUR_CALM = 8, 11


class GrpcConnection(asyncio.Protocol):
    """Calls in parallel over one connection; opened by `grpc_dial.connect`."""

    def __init__(self, url: NodeUrl) -> None:
        self._url = url
        self._h2 = Http2State(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: _MAX_HEADER_BYTES,
            },
        )
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, Stream] = {}
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
        self._h2.forget()
        del exc
        for stream in self._streams.values():
            stream.fail(LostError(self._ended))
        for ping in self._pings:
            fail(ping, LostError(self._ended))
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
        stream = Stream(asyncio.get_running_loop().create_future())
        self._streams[number] = stream
        try:
            self._h2.send_headers(number, self._headers(method, metadata))
            await self._send_body(number, framed(request))
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
            *((key, header_text(value)) for key, value in metadata),
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

    def _cancel(self, number: int, stream: Stream) -> None:
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
                _answered(self._pings.pop())
        elif isinstance(event, DataReceived):
            self._take_data(event)
        elif isinstance(event, ResponseReceived | TrailersReceived | StreamEnded | StreamReset):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                stream.take(event)

    def _take_data(self, event: DataReceived) -> None:
        self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        stream = self._streams.get(event.stream_id)
        if stream is None or stream.done.done():
            return
        if not stream.take_data(event.data):
            self._h2.reset_stream(event.stream_id, _CANCEL)

    def _end(self, last: int) -> None:
        """The other side takes no more calls; those up to `last` still end."""
        for number, stream in self._streams.items():
            if number > last:
                stream.fail(LostError("the other side takes no more calls"))
        self.retire(_GRACE_SECONDS)


def _answered(ping: asyncio.Future[None]) -> None:
    if not ping.done():
        ping.set_result(None)

"""The answer to one unary gRPC call, as it comes together from HTTP/2 events."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from h2.events import ResponseReceived, StreamEnded, StreamReset, TrailersReceived

from mediafleet_common.formats.grpc_message import Metadata, header_value, unframed

MAX_MESSAGE_BYTES: Final = 1024 * 1024
_OK: Final = 0
_REFUSED_STREAM: Final = 7
UNKNOWN, RESOURCE_EXHAUSTED, INTERNAL = 2, 8, 13


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
class Stream:
    """A call that waits for its answer."""

    done: asyncio.Future[Reply]
    headers: dict[str, str] = field(default_factory=dict)
    initial: Metadata = ()
    trailing: Metadata = ()
    body: bytearray = field(default_factory=bytearray)

    def take(self, event: ResponseReceived | TrailersReceived | StreamEnded | StreamReset) -> None:
        """One event of the stream that is no data."""
        if isinstance(event, StreamReset) and event.error_code == _REFUSED_STREAM:
            self.fail(LostError("the other side did not take the call"))
        elif isinstance(event, StreamReset):
            why = f"the other side broke the call off, code {event.error_code}"
            self.end(Reply(INTERNAL, why, b""))
        elif isinstance(event, StreamEnded):
            self._finish()
        else:
            headers = [(str(key), str(value)) for key, value in event.headers or ()]
            self.headers.update(headers)
            metadata = tuple(
                (key, header_value(key, value)) for key, value in headers if not key.startswith(":")
            )
            if isinstance(event, ResponseReceived):
                self.initial = metadata
            else:
                self.trailing = metadata

    def take_data(self, data: bytes) -> bool:
        """A part of the body; whether there is room for it."""
        self.body += data
        if len(self.body) > MAX_MESSAGE_BYTES:
            self.end(Reply(RESOURCE_EXHAUSTED, "the answer is too large", b""))
            return False
        return True

    def end(self, reply: Reply) -> None:
        """Answer, unless it was answered."""
        if not self.done.done():
            self.done.set_result(reply)

    def fail(self, error: Exception) -> None:
        """End without an answer."""
        fail(self.done, error)

    def _finish(self) -> None:
        headers = self.headers
        if not headers.get("content-type", "").startswith("application/grpc"):
            self.fail(NotGrpcError(f"HTTP {headers.get(':status', '?')} and no gRPC"))
            return
        code = headers.get("grpc-status", "")
        number = int(code) if code.isascii() and code.isdigit() and len(code) < 3 else UNKNOWN
        details = unquote(headers.get("grpc-message", ""))
        if not self.trailing:
            # An answer of headers alone: what it says stands where trailers would.
            self.initial, self.trailing = (), self.initial
        message: bytes | None = b""
        if number == _OK:
            message = unframed(self.body)
            if message is None:
                number, details = INTERNAL, "the answer is not one message"
        self.end(Reply(number, details, message or b"", self.initial, self.trailing))


def fail(future: asyncio.Future[Reply] | asyncio.Future[None], error: Exception) -> None:
    """Fail what waits, where nothing has come."""
    if not future.done():
        future.set_exception(error)
        # Its waiter may have been cancelled at the same moment.
        future.exception()

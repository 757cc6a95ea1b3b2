"""psrpc's envelopes: bytes of a channel <-> frozen values. Pure.

Every payload is an `internal.Msg` that names the type inside. Compression (psrpc 0.8) is read
within a bound and never written, since livekit-server 1.13 knows none.

Source: livekit/psrpc internal/internal.proto, internal/bus/serialization.go.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any as Anything
from typing import Final, NamedTuple, TypeVar, cast

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message

from mediafleet_common.wire import psrpc_pb2 as pb
from mediafleet_scheduler.psrpc.errors import BadMessage, BadMessageError, Code, PsrpcError

MAX_BYTES: Final = 1 << 20
"""A message may be as large, before and after inflating: a StartEgress is some kilobytes."""

_TYPE_URL: Final = "type.googleapis.com/internal."
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_BYTES: Final = [bytes((number,)) for number in range(0x80)]
_ID_TAG: Final = 0x0A
_NO_COMPRESSION: Final = 0
_GZIP: Final = 1
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


class Request(NamedTuple):
    """A call. Times are Unix nanoseconds. Like the others a tuple: quicker to make than a frozen
    dataclass, and some ten are made for each start."""

    request_id: str
    client_id: str
    sent_at_ns: int
    expiry_ns: int
    payload: bytes
    """The serialised message of the method; may hold secrets."""
    multi: bool = False
    """Every server answers, without bids."""
    metadata: Mapping[str, str] = _NOTHING

    def __repr__(self) -> str:
        return f"Request({self.request_id!r}, {self.client_id!r})"


class Response(NamedTuple):
    """A server's answer: a payload, or an error."""

    request_id: str
    server_id: str
    sent_at_ns: int
    payload: bytes = b""
    error: PsrpcError | None = None

    def __repr__(self) -> str:
        return f"Response({self.request_id!r}, {self.server_id!r}, error={self.error!r})"


class Bid(NamedTuple):
    """A server offers to run a request."""

    request_id: str
    server_id: str
    affinity: float


class Grant(NamedTuple):
    """A client's choice among the bidders."""

    request_id: str
    server_id: str


Envelope = Request | Response | Bid | Grant
EnvelopeT = TypeVar("EnvelopeT", Request, Response, Bid, Grant)


def encode(envelope: Envelope) -> bytes:
    """The bytes to publish."""
    kind = type(envelope)
    value = _WRITERS[kind](envelope).SerializeToString()
    return _HEADS[kind] + _varint(len(value)) + value


def decode(data: bytes, kind: type[EnvelopeT], max_bytes: int = MAX_BYTES) -> EnvelopeT:
    """The envelope of that kind in bytes from a channel.

    Raises:
        BadMessageError: they hold none.
    """
    if len(data) > max_bytes:
        raise BadMessageError(BadMessage.TOO_LARGE, f"{len(data)} bytes")
    try:
        envelope = cast(
            "EnvelopeT", _READERS[kind](_plain(data, kind) or _any(data, kind, max_bytes))
        )
    except (DecodeError, UnicodeDecodeError) as error:
        raise BadMessageError(BadMessage.NOT_PROTOBUF) from error
    if not envelope.request_id:
        raise BadMessageError(BadMessage.INCOMPLETE, "no request id")
    return envelope


def request_id_of(data: bytes) -> str | None:
    """The id of a request, of which nothing else is read; `None`: it has to be read to be known."""
    value = _plain(data, Request)
    # As peers write it: field 1 comes first, and its length is one byte.
    if value is None or len(value) < 2 or value[0] != _ID_TAG or not 0 < value[1] < 0x80:
        return None
    found = value[2 : 2 + value[1]]
    return found.decode(errors="replace") if len(found) == value[1] else None


def _plain(data: bytes, kind: type[Envelope]) -> bytes | None:
    """What is inside a message as peers write it, which is worth not to be parsed: the type, and
    then the value to the end. `None`: it is written otherwise."""
    head = _HEADS[kind]
    if not data.startswith(head):
        return None
    at, length, shift = len(head), 0, 0
    for byte in data[at : at + 4]:
        at += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return data[at:] if at + length == len(data) else None
        shift += 7
    return None


def _any(data: bytes, kind: type[Envelope], max_bytes: int) -> bytes:
    outer = pb.Msg.FromString(data)
    name = _NAMES[kind]
    if outer.type_url != _TYPE_URL + name:
        raise BadMessageError(BadMessage.WRONG_TYPE, f"expected {name}")
    return _inflated(outer.value, outer.compression, max_bytes)


def _varint(number: int) -> bytes:
    if number < 0x80:
        return _BYTES[number]
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _inflated(value: bytes, compression: int, max_bytes: int) -> bytes:
    if compression == _NO_COMPRESSION:
        return value
    if compression != _GZIP:
        raise BadMessageError(BadMessage.UNKNOWN_COMPRESSION, str(compression))
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        # One byte beyond the bound tells a message that fits from one that does not.
        inflated = inflater.decompress(value, max_bytes + 1)
    except zlib.error as error:
        raise BadMessageError(BadMessage.BAD_GZIP, str(error)) from error
    if len(inflated) > max_bytes:
        raise BadMessageError(BadMessage.INFLATES_TOO_FAR, f"more than {max_bytes} bytes")
    if not inflater.eof:
        raise BadMessageError(BadMessage.BAD_GZIP, "cut short")
    return inflated


def _write_request(envelope: Request) -> pb.Request:
    message = pb.Request(
        request_id=envelope.request_id,
        client_id=envelope.client_id,
        sent_at=envelope.sent_at_ns,
        expiry=envelope.expiry_ns,
        raw_request=envelope.payload,
    )
    if envelope.multi:
        message.multi = True
    if envelope.metadata:
        message.metadata.update(envelope.metadata)
    return message


def _write_response(envelope: Response) -> pb.Response:
    message = pb.Response(
        request_id=envelope.request_id,
        server_id=envelope.server_id,
        sent_at=envelope.sent_at_ns,
        raw_response=envelope.payload,
    )
    if (error := envelope.error) is not None:
        message.error, message.code = error.message, error.code
        message.error_details.extend(map(Any.FromString, error.details))
    return message


def _write_bid(envelope: Bid) -> pb.ClaimRequest:
    return pb.ClaimRequest(
        request_id=envelope.request_id,
        server_id=envelope.server_id,
        affinity=envelope.affinity,
    )


def _write_grant(envelope: Grant) -> pb.ClaimResponse:
    return pb.ClaimResponse(request_id=envelope.request_id, server_id=envelope.server_id)


def _request(value: bytes) -> Request:
    message = pb.Request.FromString(value)
    client_id = message.client_id
    if not client_id:
        raise BadMessageError(BadMessage.INCOMPLETE, "no client id")
    return Request(
        message.request_id,
        client_id,
        message.sent_at,
        message.expiry,
        message.raw_request or message.request.value,
        message.multi,
        dict(message.metadata) if len(message.metadata) else _NOTHING,
    )


def _response(value: bytes) -> Response:
    message = pb.Response.FromString(value)
    error = None
    if message.error:
        details = tuple(detail.SerializeToString() for detail in message.error_details)
        error = PsrpcError(Code.of(message.code), message.error, details)
    payload = message.raw_response or message.response.value
    return Response(message.request_id, message.server_id, message.sent_at, payload, error)


def _bid(value: bytes) -> Bid:
    message = pb.ClaimRequest.FromString(value)
    return Bid(message.request_id, message.server_id, message.affinity)


def _grant(value: bytes) -> Grant:
    message = pb.ClaimResponse.FromString(value)
    return Grant(message.request_id, message.server_id)


_NAMES: Final[Mapping[type[Envelope], str]] = {
    Request: "Request",
    Response: "Response",
    Bid: "ClaimRequest",
    Grant: "ClaimResponse",
}
_HEADS: Final[Mapping[type[Envelope], bytes]] = {
    kind: b"\x0a" + _BYTES[len(_TYPE_URL + name)] + (_TYPE_URL + name).encode() + b"\x12"
    for kind, name in _NAMES.items()
}
"""How a message of a kind begins: field 1, the type, and the tag of field 2, the value."""
_READERS: Final[Mapping[type[Envelope], Callable[[bytes], object]]] = {
    Request: _request,
    Response: _response,
    Bid: _bid,
    Grant: _grant,
}
_WRITERS: Final[Mapping[type[Envelope], Callable[[Anything], Message]]] = {
    Request: _write_request,
    Response: _write_response,
    Bid: _write_bid,
    Grant: _write_grant,
}

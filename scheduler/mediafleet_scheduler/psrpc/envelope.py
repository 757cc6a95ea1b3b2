"""psrpc's envelopes: bytes of a channel <-> frozen values. Pure.

Every payload is an `internal.Msg` that names the type inside. Compression (psrpc 0.8) is read
within a bound and never written, since livekit-server 1.13 knows none.

Source: livekit/psrpc internal/internal.proto, internal/bus/serialization.go.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar, cast

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from mediafleet_common.wire import psrpc_pb2 as pb
from mediafleet_scheduler.psrpc.errors import BadMessage, BadMessageError, Code, PsrpcError

MAX_BYTES: Final = 1 << 20
"""A message may be as large, before and after inflating: a StartEgress is some kilobytes."""

_TYPE_URL: Final = "type.googleapis.com/internal."
_NO_COMPRESSION: Final = 0
_GZIP: Final = 1
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Request:
    """A call. Times are Unix nanoseconds."""

    request_id: str
    client_id: str
    sent_at_ns: int
    expiry_ns: int
    payload: bytes = field(repr=False)
    """The serialised message of the method; may hold secrets."""
    multi: bool = False
    """Every server answers, without bids."""
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """A server's answer: a payload, or an error."""

    request_id: str
    server_id: str
    sent_at_ns: int
    payload: bytes = field(default=b"", repr=False)
    error: PsrpcError | None = None


@dataclass(frozen=True, slots=True)
class Bid:
    """A server offers to run a request."""

    request_id: str
    server_id: str
    affinity: float


@dataclass(frozen=True, slots=True)
class Grant:
    """A client's choice among the bidders."""

    request_id: str
    server_id: str


Envelope = Request | Response | Bid | Grant
EnvelopeT = TypeVar("EnvelopeT", Request, Response, Bid, Grant)


def encode(envelope: Envelope) -> bytes:
    """The bytes to publish."""
    name, message = _written(envelope)
    return pb.Msg(type_url=_TYPE_URL + name, value=message.SerializeToString()).SerializeToString()


def decode(data: bytes, kind: type[EnvelopeT], max_bytes: int = MAX_BYTES) -> EnvelopeT:
    """The envelope of that kind in bytes from a channel.

    Raises:
        BadMessageError: they hold none.
    """
    if len(data) > max_bytes:
        raise BadMessageError(BadMessage.TOO_LARGE, f"{len(data)} bytes")
    try:
        outer = pb.Msg.FromString(data)
        name = _NAMES[kind]
        if outer.type_url != _TYPE_URL + name:
            raise BadMessageError(BadMessage.WRONG_TYPE, f"expected {name}")
        value = _inflated(outer.value, outer.compression, max_bytes)
        envelope = cast("EnvelopeT", _READERS[kind](value))
    except (DecodeError, UnicodeDecodeError) as error:
        raise BadMessageError(BadMessage.NOT_PROTOBUF) from error
    if not envelope.request_id:
        raise BadMessageError(BadMessage.INCOMPLETE, "no request id")
    return envelope


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


def _written(
    envelope: Envelope,
) -> tuple[str, pb.Request | pb.Response | pb.ClaimRequest | pb.ClaimResponse]:
    match envelope:
        case Request():
            return "Request", pb.Request(
                request_id=envelope.request_id,
                client_id=envelope.client_id,
                sent_at=envelope.sent_at_ns,
                expiry=envelope.expiry_ns,
                multi=envelope.multi,
                metadata=envelope.metadata,
                raw_request=envelope.payload,
            )
        case Response():
            return "Response", pb.Response(
                request_id=envelope.request_id,
                server_id=envelope.server_id,
                sent_at=envelope.sent_at_ns,
                raw_response=envelope.payload,
                error=envelope.error.message if envelope.error else "",
                code=envelope.error.code if envelope.error else "",
                error_details=[Any.FromString(d) for d in envelope.error.details]
                if envelope.error
                else [],
            )
        case Bid():
            return "ClaimRequest", pb.ClaimRequest(
                request_id=envelope.request_id,
                server_id=envelope.server_id,
                affinity=envelope.affinity,
            )
        case Grant():
            return "ClaimResponse", pb.ClaimResponse(
                request_id=envelope.request_id, server_id=envelope.server_id
            )


def _request(value: bytes) -> Request:
    message = pb.Request.FromString(value)
    if not message.client_id:
        raise BadMessageError(BadMessage.INCOMPLETE, "no client id")
    return Request(
        request_id=message.request_id,
        client_id=message.client_id,
        sent_at_ns=message.sent_at,
        expiry_ns=message.expiry,
        payload=message.raw_request or message.request.value,
        multi=message.multi,
        metadata=dict(message.metadata),
    )


def _response(value: bytes) -> Response:
    message = pb.Response.FromString(value)
    error = None
    if message.error:
        details = tuple(detail.SerializeToString() for detail in message.error_details)
        error = PsrpcError(Code.of(message.code), message.error, details)
    return Response(
        request_id=message.request_id,
        server_id=message.server_id,
        sent_at_ns=message.sent_at,
        payload=message.raw_response or message.response.value,
        error=error,
    )


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
_READERS: Final[Mapping[type[Envelope], Callable[[bytes], object]]] = {
    Request: _request,
    Response: _response,
    Bid: _bid,
    Grant: _grant,
}

"""What can go wrong in a psrpc call.

    PsrpcError                an error answer, to be sent or received: a code and a sentence
    ├── NoBidError            nobody bid in time: the request runs nowhere
    └── NoAnswerError         a server was granted the request and has not answered: it may run
    BadMessageError           bytes on a channel that are no message of the kind expected there
    BusClosedError            the bus was closed while it was used

Codes travel as words. Source: livekit/psrpc errors.go.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """The codes of psrpc."""

    CANCELED = "canceled"
    MALFORMED_REQUEST = "malformed_request"
    MALFORMED_RESPONSE = "malformed_result"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"
    INVALID_ARGUMENT = "invalid_argument"
    NOT_FOUND = "not_found"
    NOT_ACCEPTABLE = "not_acceptable"
    ALREADY_EXISTS = "already_exists"
    PERMISSION_DENIED = "permission_denied"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    FAILED_PRECONDITION = "failed_precondition"
    ABORTED = "aborted"
    OUT_OF_RANGE = "out_of_range"
    UNIMPLEMENTED = "unimplemented"
    INTERNAL = "internal"
    DATA_LOSS = "data_loss"
    UNAUTHENTICATED = "unauthenticated"
    UNPROCESSABLE_ENTITY = "unprocessable_entity"
    UPSTREAM_SERVER_ERROR = "upstream_server_error"
    UPSTREAM_CLIENT_ERROR = "upstream_client_error"

    @classmethod
    def of(cls, word: str) -> Code:
        """The code of a word on the wire; `UNKNOWN` for one that newer builds may have."""
        try:
            return cls(word)
        except ValueError:
            return cls.UNKNOWN


class PsrpcError(Exception):
    """An error answer.

    `details` are serialised `google.protobuf.Any`, passed on unread.
    """

    def __init__(self, code: Code, message: str, details: tuple[bytes, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class NoBidError(PsrpcError):
    """Nobody bid in time: the request runs nowhere."""

    def __init__(self, message: str = "no server bid for the request") -> None:
        super().__init__(Code.UNAVAILABLE, message)


class NoAnswerError(PsrpcError):
    """A server was granted the request and has not answered in time: it may still run there."""

    def __init__(self, server_id: str) -> None:
        super().__init__(Code.DEADLINE_EXCEEDED, f"server {server_id} has not answered in time")
        self.server_id = server_id


class BadMessage(StrEnum):
    """Why bytes are not a message."""

    TOO_LARGE = "too_large"
    NOT_PROTOBUF = "not_protobuf"
    UNKNOWN_COMPRESSION = "unknown_compression"
    BAD_GZIP = "bad_gzip"
    INFLATES_TOO_FAR = "inflates_too_far"
    WRONG_TYPE = "wrong_type"
    INCOMPLETE = "incomplete"
    NOT_A_START_EGRESS = "not_a_start_egress"
    UNKNOWN_REQUEST_TYPE = "unknown_request_type"


class BadMessageError(ValueError):
    """Bytes on a channel that are no message of the kind expected there."""

    def __init__(self, reason: BadMessage, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason


class BusClosedError(ConnectionError):
    """The bus was closed while it was used."""

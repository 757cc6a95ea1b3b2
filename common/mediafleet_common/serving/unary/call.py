"""One unary call: what it asks, and what its answer says beside the message.

Wire: grpc/grpc doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias
from urllib.parse import quote

import grpc

from mediafleet_common.formats.grpc_message import Metadata, header_text, header_value, unframed

Header: TypeAlias = "tuple[bytes, bytes]"
_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_SAFE: Final = "".join(chr(each) for each in range(0x20, 0x7F) if chr(each) != "%")


class Call:
    """One call of a connection."""

    __slots__ = (
        "body",
        "code",
        "details",
        "gives_up_at",
        "host",
        "initial",
        "path",
        "received",
        "requested",
        "trailing",
    )

    def __init__(self, headers: Iterable[Header], host: str, now: float) -> None:
        self.host: Final = host
        """Address of who calls."""
        self.requested: Final = tuple(headers)
        self.path = b""
        self.body = bytearray()
        self.received = 0
        """Bytes that flow control counts."""
        self.gives_up_at: float | None = None
        """Time at which the caller gives up; `None`: it does not say."""
        self.code = grpc.StatusCode.OK
        self.details = ""
        self.initial: Metadata = ()
        self.trailing: Metadata = ()
        for name, value in self.requested:
            if name == b":path":
                self.path = value
            elif name == b"grpc-timeout" and (seconds := timeout(value)) is not None:
                self.gives_up_at = now + seconds

    def refusal(self) -> int | None:
        """HTTP status for a request that is no gRPC; `None`: it is."""
        headers = dict(self.requested)
        if headers.get(b":method") != b"POST":
            return 405
        return None if headers.get(b"content-type", b"").startswith(b"application/grpc") else 415

    @property
    def reads(self) -> bool:
        """Whether it asks for a page, as browsers do."""
        return dict(self.requested).get(b":method") == b"GET"

    @property
    def accept(self) -> bytes:
        """What kinds of page its caller wants."""
        return dict(self.requested).get(b"accept", b"")

    def refuse(self, code: grpc.StatusCode, details: str) -> bytes:
        """Answer with an error of our own; returned: the message of it, which is none."""
        self.code, self.details = code, details
        return b""

    @property
    def compressed(self) -> bool:
        """Whether its message is packed, which no client has to do."""
        return self.body[:1] == b"\x01"

    def message(self) -> bytes | None:
        """The one message of the body; `None`: it holds none, several or a compressed one."""
        return unframed(self.body)

    def metadata(self) -> Metadata:
        """What the caller sent beside the message."""
        return tuple(
            (name, header_value(name, value.decode("latin-1")))
            for name, value in ((each.decode("latin-1"), value) for each, value in self.requested)
            if not name.startswith(":")
        )


Method: TypeAlias = Callable[[bytes, Call], bytes | Awaitable[bytes]]
"""An answer's message for a request's; what else is to be said is set on the call."""


def timeout(value: bytes) -> float | None:
    """Seconds of a grpc-timeout; `None`: it is none."""
    text = value.decode("latin-1")
    digits, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not digits.isdigit() or not digits.isascii() or len(digits) > 8:
        return None
    return int(digits) * _UNITS[unit]


_HEAD: Final[list[Header]] = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_GOOD: Final[list[Header]] = [(b"grpc-status", b"0")]


def head(call: Call) -> list[Header]:
    """The headers that an answer begins with."""
    return [*_HEAD, *_packed(call.initial)] if call.initial else _HEAD


def tail(call: Call) -> list[Header]:
    """The trailers that it ends with."""
    if call.code is grpc.StatusCode.OK and not call.trailing and not call.details:
        return _GOOD
    trailers: list[Header] = [(b"grpc-status", str(call.code.value[0]).encode())]
    if call.details:
        trailers.append((b"grpc-message", quote(call.details, safe=_SAFE).encode()))
    return [*trailers, *_packed(call.trailing)]


def _packed(metadata: Metadata) -> list[Header]:
    return [(name.encode(), header_text(value).encode()) for name, value in metadata]

"""What a gRPC call has on the wire beside HTTP/2: its one message, and metadata.

Wire: grpc/grpc doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Final, TypeAlias

Metadata: TypeAlias = "tuple[tuple[str, str | bytes], ...]"
_HEAD: Final = struct.Struct(">BI")


def framed(message: bytes) -> bytes:
    """A message as it stands in a body."""
    return _HEAD.pack(0, len(message)) + message


def unframed(body: bytes | bytearray) -> bytes | None:
    """The one message of a body; `None`: it holds none, several or a compressed one."""
    if len(body) < _HEAD.size:
        return None
    compressed, size = _HEAD.unpack_from(body)
    whole = not compressed and len(body) == _HEAD.size + size
    return bytes(body[_HEAD.size :]) if whole else None


def header_text(value: str | bytes) -> str:
    """A value of metadata as a header has it; bytes belong under names that end in -bin."""
    return value if isinstance(value, str) else base64.b64encode(value).decode().rstrip("=")


def header_value(name: str, text: str) -> str | bytes:
    """The value in a header; bytes that are none are empty."""
    if not name.endswith("-bin"):
        return text
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""

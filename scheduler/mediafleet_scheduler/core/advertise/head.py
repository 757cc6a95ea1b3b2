"""What a real orchestrator answered, with our list of nodes in place of its own. Pure.

The answer is not signed (livepeer/go-livepeer server/rpc.go, orchestratorInfo), so that `nodes` may
be replaced; every other byte is the orchestrator's and stays as it came, unknown fields included.
So the message is never parsed and serialised again: it is cut at field 34.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from mediafleet_common.wire.livepeer_pb2 import EndTranscodingSessionRequest

_TRANSCODER: Final = 1
_NODES: Final = 34
_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = range(6)
_VARINT_BYTES: Final = 10


class NotAnInfoError(ValueError):
    """The answer is no protobuf message; the text says where it goes wrong."""


@dataclass(frozen=True, slots=True)
class HeadAnswer:
    """A serialised OrchestratorInfo without its nodes."""

    before: bytes
    """What stood before its first node, or all of it."""
    after: bytes
    transcoder: str
    """The URL at which it takes work; empty: it takes none."""

    def with_nodes(self, nodes: bytes) -> bytes:
        """The answer with other nodes; `nodes` are serialised fields."""
        return b"".join((self.before, nodes, self.after))


def read(answer: bytes) -> HeadAnswer:
    """Cut the nodes out of a serialised OrchestratorInfo.

    Raises:
        NotAnInfoError: it is none.
    """
    kept: list[bytes] = []
    before: bytes | None = None
    transcoder = b""
    for number, wire, begin, value, end in _fields(answer):
        if (number, wire) == (_NODES, _BYTES):
            if before is None:
                before, kept = b"".join(kept), []
            continue
        if (number, wire) == (_TRANSCODER, _BYTES):
            # Of a field that comes twice the last one counts.
            transcoder = answer[value:end]
        kept.append(answer[begin:end])
    rest = b"".join(kept)
    text = transcoder.decode("utf-8", "replace")
    return HeadAnswer(rest, b"", text) if before is None else HeadAnswer(before, rest, text)


def names_a_session(request: bytes) -> bool:
    """Whether an EndTranscodingSessionRequest has an auth_token.

    One without ends any go-livepeer process: its server reads the token through a nil
    (server/rpc.go, endTranscodingSession; seen on 0.9.1).
    """
    try:
        return EndTranscodingSessionRequest.FromString(request).HasField("auth_token")
    except DecodeError:
        return False


_Field = tuple[int, int, int, int, int]
"""Number, wire type, and where the field begins, its value begins (of bytes: without their length)
and it ends."""


def _fields(message: bytes) -> Iterator[_Field]:
    position = 0
    while position < len(message):
        begin = position
        number, wire, position = _tag(message, position)
        if wire == _GROUP_END:
            raise NotAnInfoError(f"byte {begin} ends a group that nobody began")
        value, position = _value(message, number, wire, position)
        yield number, wire, begin, value, position


def _tag(message: bytes, position: int) -> tuple[int, int, int]:
    tag, position = _varint(message, position)
    number = tag >> 3
    if not 0 < number < 1 << 29:
        raise NotAnInfoError(f"there is no field {number}, before byte {position}")
    return number, tag & 7, position


def _value(message: bytes, number: int, wire: int, position: int) -> tuple[int, int]:
    """Where the value that begins at `position` begins once its length is read, and ends."""
    begin = position
    if wire == _VARINT:
        _, position = _varint(message, position)
    elif wire == _FIXED64:
        position += 8
    elif wire == _FIXED32:
        position += 4
    elif wire == _BYTES:
        length, begin = _varint(message, position)
        position = begin + length
    elif wire == _GROUP:
        position = _group_end(message, number, position)
    else:
        raise NotAnInfoError(f"there is no wire type {wire}, before byte {position}")
    if position > len(message):
        raise NotAnInfoError(f"field {number} ends after the message")
    return begin, position


def _group_end(message: bytes, number: int, position: int) -> int:
    open_groups = [number]
    while open_groups:
        number, wire, position = _tag(message, position)
        if wire == _GROUP:
            open_groups.append(number)
        elif wire == _GROUP_END:
            if open_groups.pop() != number:
                raise NotAnInfoError(f"groups cross before byte {position}")
        else:
            _, position = _value(message, number, wire, position)
    return position


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_VARINT_BYTES):
        if position + index >= len(message):
            raise NotAnInfoError("a number ends after the message")
        byte = message[position + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    raise NotAnInfoError(f"a number at byte {position} does not end")

"""Redis' protocol, as far as publishing and subscribing need it: bytes <-> values. Pure.

Source: the RESP2 and RESP3 specifications of redis.io; RESP3 differs here in push messages alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_BULK_BYTES: Final = 64 << 20
"""A longer string ends the connection: Redis itself cuts subscribers off at 32 MiB of backlog."""
MAX_ITEMS: Final = 1024
_END: Final = b"\r\n"


class ProtocolError(ConnectionError):
    """What came is not Redis' protocol."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error reply."""

    text: str


Reply = bytes | int | None | Refusal | list["Reply"]


class _Incomplete(Exception):  # noqa: N818 - no error: the rest is on its way
    pass


def command(*parts: str | bytes) -> bytes:
    """A command as Redis takes it."""
    out = [b"*%d\r\n" % len(parts)]
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        out.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(out)


class Parser:
    """Bytes in, replies out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that are complete now.

        Raises:
            ProtocolError: it is no such protocol.
        """
        self._buffer += data
        replies: list[Reply] = []
        start = 0
        while start < len(self._buffer):
            try:
                reply, start = self._read(start)
            except _Incomplete:
                break
            replies.append(reply)
        del self._buffer[:start]
        return replies

    def _read(self, start: int) -> tuple[Reply, int]:
        """The reply that begins there, and where it ends."""
        end = self._buffer.find(_END, start)
        if end < 0:
            raise _Incomplete
        kind, line, after = self._buffer[start], bytes(self._buffer[start + 1 : end]), end + 2
        match kind:
            case 0x24:  # $
                return self._bulk(_number(line, MAX_BULK_BYTES), after)
            case 0x2A | 0x3E:  # * >
                return self._items(_number(line, MAX_ITEMS), after)
            case 0x3A:  # :
                return _number(line, None), after
            case 0x2B:  # +
                return line, after
            case 0x2D:  # -
                return Refusal(line.decode(errors="replace")), after
            case 0x5F:  # _
                return None, after
        raise ProtocolError(f"a reply of unknown kind {chr(kind)!r}")

    def _bulk(self, length: int, start: int) -> tuple[Reply, int]:
        if length < 0:
            return None, start
        end = start + length
        if len(self._buffer) < end + 2:
            raise _Incomplete
        return bytes(self._buffer[start:end]), end + 2

    def _items(self, count: int, start: int) -> tuple[Reply, int]:
        if count < 0:
            return None, start
        items: list[Reply] = []
        for _ in range(count):
            item, start = self._read(start)
            items.append(item)
        return items, start


def _number(line: bytes, largest: int | None) -> int:
    try:
        number = int(line)
    except ValueError as error:
        raise ProtocolError(f"{line[:20]!r} is no number") from error
    if largest is not None and number > largest:
        raise ProtocolError(f"{number} is too many")
    return number

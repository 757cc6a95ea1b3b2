"""Redis' protocol, as far as publishing and subscribing need it: bytes <-> values. Pure.

hiredis packs and parses. RESP3 differs here in push messages alone, which it reads as lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import hiredis

MAX_REPLY_BYTES: Final = 64 << 20
"""A longer reply ends the connection: Redis itself cuts subscribers off at 32 MiB of backlog."""


class ProtocolError(ConnectionError):
    """What came is not Redis' protocol."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error reply."""

    text: str


Reply = bytes | str | int | None | Refusal | list["Reply"]


def command(*parts: str | bytes | int) -> bytes:
    """A command as Redis takes it."""
    packed: bytes = hiredis.pack_command(parts)  # type: ignore[arg-type] # It takes any length.
    return packed


class Parser:
    """Bytes in, replies out; `text`: strings as `str` and not as bytes."""

    def __init__(self, *, text: bool = False) -> None:
        self._reader = hiredis.Reader(
            encoding="utf-8" if text else None,
            protocolError=ProtocolError,
            replyError=Refusal,  # type: ignore[arg-type] # It takes any callable.
            notEnoughData=_INCOMPLETE,
        )
        self._unread = 0

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that are complete now.

        Raises:
            ProtocolError: it is no such protocol.
        """
        self._reader.feed(data)
        self._unread += len(data)
        replies: list[Reply] = []
        try:
            while (reply := self._reader.gets()) is not _INCOMPLETE:
                replies.append(reply)
        except (TypeError, ValueError) as error:
            # A map or set of what cannot be a key, or a number that is none.
            raise ProtocolError(str(error)) from error
        if replies:
            self._unread = 0
        if self._unread > MAX_REPLY_BYTES:
            raise ProtocolError(f"a reply of more than {MAX_REPLY_BYTES} bytes")
        return replies


_INCOMPLETE: Final = object()
"""What hiredis answers with while the rest of a reply is on its way."""

"""The name of every channel that psrpc speaks on. Pure.

Source: livekit/psrpc pkg/info/channels.go and its test (the `Legacy` names, which are those of
Redis). A part is escaped character by character; an empty part leaves no second bar behind.
"""

from __future__ import annotations

import functools
import string
from collections.abc import Sequence
from typing import Final

Topic = Sequence[str]
"""Parts of a topic; none of them is the empty topic, where livekit-server sends StartEgress."""

EMPTY_TOPIC: Final[Topic] = ()

_PLAIN: Final = frozenset(string.ascii_letters + string.digits + "_")
_CACHED_NAMES: Final = 4096


def request(service: str, method: str, topic: Topic = EMPTY_TOPIC) -> str:
    """Where a client sends its request."""
    return _joined(service, method, tuple(topic), "REQ")


def grant(service: str, method: str, topic: Topic = EMPTY_TOPIC) -> str:
    """Where a client says which server may run its request."""
    return _joined(service, method, tuple(topic), "RCLAIM")


def bids(service: str, client_id: str) -> str:
    """Where servers bid for a client's requests."""
    return _joined(service, client_id, "CLAIM")


def answers(service: str, client_id: str) -> str:
    """Where servers answer a client."""
    return _joined(service, client_id, "RES")


@functools.lru_cache(_CACHED_NAMES)
def _joined(*parts: str | tuple[str, ...]) -> str:
    name = ""
    wants_bar = False
    for part in parts:
        if wants_bar:
            name += "|"
        added = _joined(*part) if isinstance(part, tuple) else _escaped(part)
        name += added
        wants_bar = bool(added)
    return name


def _escaped(part: str) -> str:
    return "".join(character if character in _PLAIN else _code(character) for character in part)


def _code(character: str) -> str:
    point = ord(character)
    return f"u+{point:04x}" if point < 0x10000 else f"U+{point:08x}"

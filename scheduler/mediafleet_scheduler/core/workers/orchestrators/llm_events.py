"""An LLM's words as `text/event-stream`, read line by line. Pure.

A stock orchestrator takes the first choice of each chunk without looking whether there is one: a
chunk without choices ends its handler, and the capacity that it took is never given back
(livepeer/go-livepeer server/ai_http.go handleAIRequest, ai/worker/worker.go
handleStreamingResponse). Runners send such chunks, with the tokens used at the end, or an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

_DATA: Final = b"data:"
_DONE: Final = b"[DONE]"
MOST_LINE: Final = 64 * 1024
"""Bytes of a line that a stock orchestrator reads; it stops at a longer one."""


class Lines:
    """Cuts a stream into lines; of one that is too long nothing is kept."""

    def __init__(self) -> None:
        self._rest = b""
        self._too_long = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that end in it, without their ends."""
        *ended, rest = (self._rest + chunk).split(b"\n")
        if ended and self._too_long:
            del ended[0]
            self._too_long = False
        if len(rest) >= MOST_LINE:
            self._too_long, rest = True, b""
        self._rest = rest
        return [line.removesuffix(b"\r") for line in ended if len(line) < MOST_LINE]


class StockEvents:
    """What a stock orchestrator survives of a stream: chunks that have a choice, and its end."""

    def __init__(self) -> None:
        self._lines = Lines()

    def feed(self, chunk: bytes) -> bytes:
        """What is passed on of it."""
        payloads = (_payload(line) for line in self._lines.feed(chunk))
        kept = (each for each in payloads if each == _DONE or _choices(each))
        return b"".join(b"data: %b\n\n" % each for each in kept)


class LastWord:
    """Whether a stream has said its last word: each of its choices has a reason to end."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._open: set[object] = set()
        self._closed: set[object] = set()

    @property
    def said(self) -> bool:
        """Whether nothing but a count of tokens is to come."""
        return bool(self._closed) and not self._open

    def feed(self, chunk: bytes) -> None:
        """More of the stream."""
        for line in self._lines.feed(chunk):
            for choice in _choices(_payload(line)):
                self._look(choice)

    def _look(self, choice: object) -> None:
        if not isinstance(choice, dict):
            return
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        if choice.get("finish_reason"):
            self._closed.add(index)
            self._open.discard(index)
        elif index not in self._closed:
            self._open.add(index)


def _payload(line: bytes) -> bytes:
    return line.removeprefix(_DATA).strip() if line.startswith(_DATA) else b""


def _choices(payload: bytes) -> list[Any]:
    """Of a chunk; empty: it has none, or is no chunk."""
    if not payload.startswith(b"{"):
        return []
    try:
        chunk = json.loads(payload)
    except (ValueError, RecursionError):
        return []
    return choices(chunk)


def choices(chunk: Mapping[str, Any]) -> list[Any]:
    """Those of a chunk, or of an answer as a whole: a stock orchestrator that asked for a stream
    reads that as one chunk."""
    # Go reads a name in any case, and of two that are alike the last one.
    alike = [name for name in chunk if name.casefold() == "choices"]
    found = chunk["choices"] if alike == ["choices"] else None
    return found if isinstance(found, list) else []

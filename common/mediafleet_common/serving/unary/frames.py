"""HTTP/2 frames are counted and measured before anything is done with them. Pure.

The h2 library bounds what it decodes, and not what a connection may send for nothing: header blocks
of a megabyte in continuations, pings, settings, resets. Frames: RFC 9113, sections 4.1 and 6.
"""

from __future__ import annotations

from typing import Final

_PREFACE_BYTES: Final = 24
_HEAD_BYTES: Final = 9
_MAX_FRAME: Final = 16 * 1024
_DATA, _HEADERS, _RESET, _CONTINUATION = 0, 1, 3, 9
_END_STREAM, _END_HEADERS = 0x1, 0x4
_EARNED: Final = 8
_RESET_COSTS: Final = 20
"""A call that is taken back has cost all that the h2 library does for one."""


class FloodError(Exception):
    """The peer sends what no client of good faith does; the text says what."""


class FrameGuard:
    """What one connection has sent so far."""

    def __init__(self, header_bytes: int, spare_frames: int) -> None:
        self._header_bytes = header_bytes
        self._most_spare = self._spare = spare_frames
        self._skip = _PREFACE_BYTES
        """Bytes until the next frame begins."""
        self._head = b""
        """What has come of that frame's first nine bytes."""
        self._block = 0
        """Bytes of a header block that has not ended."""

    def answered(self) -> None:
        """A call was answered."""
        if self._spare < self._most_spare:
            self._spare = min(self._most_spare, self._spare + _EARNED)

    def take(self, data: bytes) -> None:
        """Look at what has come.

        Raises:
            FloodError: it is too much.
        """
        at, size = 0, len(data)
        while True:
            step = min(self._skip, size - at)
            at, self._skip = at + step, self._skip - step
            if at == size:
                return
            if self._head or size - at < _HEAD_BYTES:
                missing = _HEAD_BYTES - len(self._head)
                self._head += data[at : at + missing]
                at += missing
                if len(self._head) < _HEAD_BYTES:
                    return
                head, self._head = self._head, b""
            else:
                head = data[at : at + _HEAD_BYTES]
                at += _HEAD_BYTES
            self._frame(int.from_bytes(head[:3], "big"), head[3], head[4])

    def _frame(self, length: int, kind: int, flags: int) -> None:
        if length > _MAX_FRAME:
            raise FloodError("a frame is too long")
        self._skip = length
        if kind in (_HEADERS, _CONTINUATION):
            self._block += length
            if self._block > self._header_bytes:
                raise FloodError("headers are too long")
            if flags & _END_HEADERS:
                self._block = 0
        if kind == _HEADERS or (kind == _DATA and (length or flags & _END_STREAM)):
            return
        self._spare -= _RESET_COSTS if kind == _RESET else 1
        if self._spare < 0:
            raise FloodError("too many frames that are no calls")

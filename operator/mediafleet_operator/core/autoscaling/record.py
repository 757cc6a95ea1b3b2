"""The pods that a fleet has needed in each quarter hour of its last four weeks. Pure.

A quarter hour counts only if demand was known from its beginning to its end: what was not watched
is unknown, not 0. The record is a ring of two bytes for each quarter hour, so it never grows.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

QUARTER_SECONDS: Final = 900
WEEK: Final = 7 * 24 * 4
"""Quarter hours of a week."""
WEEKS: Final = 4
KEPT: Final = WEEKS * WEEK
"""Quarter hours that are kept."""
GAP_SECONDS: Final = 120.0
"""For so long demand may be unknown within a quarter hour that counts."""
_UNKNOWN: Final = 0xFFFF
_NOTHING: Final = b"\xff" * (2 * KEPT)


@dataclass(frozen=True, slots=True)
class Watched:
    """The quarter hour that is not over yet."""

    quarter: int
    most: int
    """The most pods that were needed in it."""
    last: float
    """When that was last known."""
    whole: bool
    """Whether it has been watched from its beginning."""


@dataclass(frozen=True, slots=True)
class Record:
    """What was needed. A quarter hour is Unix time divided by 900, rounded down."""

    end: int = 0
    """The first quarter hour after the last that is recorded."""
    most: bytes = _NOTHING
    """The most pods needed in each, at its number modulo `KEPT`."""
    watched: Watched | None = None

    def at(self, quarter: int) -> int | None:
        """The most pods needed in a quarter hour; `None`: unknown."""
        if not self.end - KEPT <= quarter < self.end:
            return None
        place = 2 * (quarter % KEPT)
        pods = int.from_bytes(self.most[place : place + 2], "big")
        return None if pods == _UNKNOWN else pods


EMPTY: Final = Record()


def noted(record: Record, pods: int, now: float) -> Record:
    """The record after a look that found so many pods needed."""
    quarter, before = int(now // QUARTER_SECONDS), record.watched
    unbroken = before is not None and 0 <= now - before.last <= GAP_SECONDS
    if before is not None and before.quarter == quarter:
        most = max(before.most, pods)
        return replace(record, watched=Watched(quarter, most, now, before.whole and unbroken))
    if before is not None and unbroken and before.whole:
        record = recorded(record, before.quarter, before.most)
    # A quarter hour also counts for the process that begins with it.
    whole = unbroken or now % QUARTER_SECONDS <= GAP_SECONDS
    return replace(record, watched=Watched(quarter, pods, now, whole))


def recorded(record: Record, quarter: int, pods: int) -> Record:
    """The record with one more quarter hour; those between are unknown. One that lies before the
    end, by a clock that was put back, is left out."""
    if quarter < record.end:
        return record
    most = bytearray(record.most)
    for skipped in range(max(record.end, quarter - KEPT + 1), quarter):
        _put(most, skipped, _UNKNOWN)
    _put(most, quarter, min(pods, _UNKNOWN - 1))
    return replace(record, end=quarter + 1, most=bytes(most))


def _put(most: bytearray, quarter: int, pods: int) -> None:
    place = 2 * (quarter % KEPT)
    most[place : place + 2] = pods.to_bytes(2, "big")


@lru_cache(maxsize=1024)
def known(most: bytes) -> int:
    """How many quarter hours of a ring are known."""
    return KEPT - sum(pair == (0xFF, 0xFF) for pair in zip(most[::2], most[1::2], strict=True))


@lru_cache(maxsize=1024)
def packed(most: bytes) -> str:
    """The ring as text: high bytes, then low bytes, by zlib, in base64."""
    return base64.b64encode(zlib.compress(most[::2] + most[1::2], 9)).decode()


@lru_cache(maxsize=64)
def unpacked(text: str) -> bytes | None:
    """The ring of a text; `None`: it is none."""
    try:
        inflate = zlib.decompressobj()
        halves = inflate.decompress(base64.b64decode(text, validate=True), 2 * KEPT)
    except (zlib.error, binascii.Error, ValueError):
        return None
    if len(halves) != 2 * KEPT or not inflate.eof:
        return None
    most = bytearray(2 * KEPT)
    most[::2], most[1::2] = halves[:KEPT], halves[KEPT:]
    return bytes(most)

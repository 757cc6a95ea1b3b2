"""How many pods a fleet has needed in the rushes of its last four weeks, by quarter hour. Pure.

A rush is a rise of the need by two pods or more within a quarter hour: for a rise by one there is
the buffer. A need that is high and stays so is none, since demand itself says so.

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
RUSH: Final = 2
"""Pods by which the need rises in a rush, at least."""
GAP_SECONDS: Final = 120.0
"""For so long demand may be unknown within a quarter hour that counts."""
_UNKNOWN: Final = 0xFFFF
_NOTHING: Final = b"\xff" * (2 * KEPT)


@dataclass(frozen=True, slots=True)
class Watched:
    """The quarter hour that is not over yet."""

    quarter: int
    least: int
    """The fewest pods that were needed in it."""
    peak: int
    """The most that were needed after a rise by `RUSH`; 0: there was none."""
    last: float
    """When that was last known."""
    whole: bool
    """Whether it has been watched from its beginning."""


@dataclass(frozen=True, slots=True)
class Record:
    """What rushes needed. A quarter hour is Unix time divided by 900, rounded down."""

    end: int = 0
    """The first quarter hour after the last that is recorded."""
    peaks: bytes = _NOTHING
    """Pods of each quarter hour, at its number modulo `KEPT`; 0: no rush."""
    watched: Watched | None = None

    def at(self, quarter: int) -> int | None:
        """What a rush needed in a quarter hour, 0 without one; `None`: unknown."""
        if not self.end - KEPT <= quarter < self.end:
            return None
        place = 2 * (quarter % KEPT)
        pods = int.from_bytes(self.peaks[place : place + 2], "big")
        return None if pods == _UNKNOWN else pods


EMPTY: Final = Record()


def noted(record: Record, pods: int, now: float) -> Record:
    """The record after a look that found so many pods needed."""
    quarter, before = int(now // QUARTER_SECONDS), record.watched
    unbroken = before is not None and 0 <= now - before.last <= GAP_SECONDS
    if before is not None and before.quarter == quarter:
        least = min(before.least, pods)
        peak = max(before.peak, pods if pods - least >= RUSH else 0)
        whole = before.whole and unbroken
        return replace(record, watched=Watched(quarter, least, peak, now, whole))
    if before is not None and unbroken and before.whole:
        record = recorded(record, before.quarter, before.peak)
    # A quarter hour also counts for the process that begins with it.
    whole = unbroken or now % QUARTER_SECONDS <= GAP_SECONDS
    return replace(record, watched=Watched(quarter, pods, 0, now, whole))


def recorded(record: Record, quarter: int, pods: int) -> Record:
    """The record with one more quarter hour; those between are unknown. One that lies before the
    end, by a clock that was put back, is left out."""
    if quarter < record.end:
        return record
    peaks = bytearray(record.peaks)
    for skipped in range(max(record.end, quarter - KEPT + 1), quarter):
        _put(peaks, skipped, _UNKNOWN)
    _put(peaks, quarter, min(pods, _UNKNOWN - 1))
    return replace(record, end=quarter + 1, peaks=bytes(peaks))


def _put(peaks: bytearray, quarter: int, pods: int) -> None:
    place = 2 * (quarter % KEPT)
    peaks[place : place + 2] = pods.to_bytes(2, "big")


@lru_cache(maxsize=1024)
def known(peaks: bytes) -> int:
    """How many quarter hours of a ring are known."""
    return KEPT - sum(pair == (0xFF, 0xFF) for pair in zip(peaks[::2], peaks[1::2], strict=True))


@lru_cache(maxsize=1024)
def packed(peaks: bytes) -> str:
    """The ring as text: high bytes, then low bytes, by zlib, in base64."""
    return base64.b64encode(zlib.compress(peaks[::2] + peaks[1::2], 9)).decode()


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
    peaks = bytearray(2 * KEPT)
    peaks[::2], peaks[1::2] = halves[:KEPT], halves[KEPT:]
    return bytes(peaks)

"""A bounded reader of Prometheus' text format, for the few names that are needed. Pure.

What a stranger may send costs a few milliseconds at most: the text is searched, not split, so only
lines of the wanted names are ever looked at, and their number, length and labels are bounded.

Source of the format: prometheus/docs content/docs/instrumenting/exposition_formats.md.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

MAX_BYTES: Final = 8 * 1024 * 1024
MAX_SERIES: Final = 500
"""Lines that begin with a wanted name."""
MAX_LINE_BYTES: Final = 4096
MAX_READ_BYTES: Final = 64 * 1024
"""Of those lines together."""
MAX_LABELS: Final = 2000
"""Of those lines together."""
_MAX_LABELS_OF_ONE: Final = 32
_MAX_BETWEEN: Final = 3
"""Commas and blanks before a label."""
_MAX_NUMBER_CHARACTERS: Final = 32
_NUMBER: Final = frozenset("0123456789+-.eE")
_INTEGER: Final = frozenset("0123456789+-")
_SAY_NOTHING: Final = frozenset({"nan", "inf", "+inf", "-inf"})
_BACKSLASH, _QUOTE = "\0", "\1"
"""Stand for escaped ones while a line is read; as labels' own text they mean nothing to us."""


class UnreadableMetricsError(ValueError):
    """The text is not Prometheus exposition, or goes beyond what is read of one."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a metric, with a finite value."""

    name: str
    labels: Mapping[str, str]
    value: float


def read(text: bytes, names: Collection[str]) -> list[Series]:
    """The series of some metrics.

    NaN and infinity are legal values that say nothing: left out, like an absent series.

    Raises:
        UnreadableMetricsError: a line of these metrics cannot be read, there are too many, or the
            text is no exposition at all.
    """
    if len(text) > MAX_BYTES:
        raise UnreadableMetricsError(f"more than {MAX_BYTES} bytes")
    lines = [line for name in names for line in _lines(text, name.encode())]
    if not lines and not _may_be_exposition(text):
        raise UnreadableMetricsError("no line of it is a metric")
    if (
        sum(map(len, lines)) > MAX_READ_BYTES
        or sum(line.count('="') for line in lines) > MAX_LABELS
    ):
        raise UnreadableMetricsError("its lines and labels are too many to be read")
    return [series for line in lines if (series := _series(line)) is not None]


def _may_be_exposition(text: bytes) -> bool:
    start = text[:MAX_LINE_BYTES].lstrip()
    return start.startswith(b"#") or not start


def _lines(text: bytes, name: bytes) -> Iterator[str]:
    """The lines whose metric has exactly this name."""
    at = 0 if text.startswith(name) else _next(text, name, 0)
    seen = 0
    while at >= 0:
        seen += 1
        if seen > MAX_SERIES:
            raise UnreadableMetricsError(f"more than {MAX_SERIES} lines of {name.decode()}")
        after = at + len(name)
        if text[after : after + 1] in (b"{", b" ", b"\t"):
            end = text.find(b"\n", after, at + MAX_LINE_BYTES)
            if end < 0 and len(text) > at + MAX_LINE_BYTES:
                raise UnreadableMetricsError(f"a line of {name.decode()} is too long")
            yield text[at : end if end >= 0 else len(text)].decode("utf-8", "replace")
        at = _next(text, name, after)


def _next(text: bytes, name: bytes, start: int) -> int:
    found = text.find(b"\n" + name, start)
    return found + 1 if found >= 0 else -1


def _series(line: str) -> Series | None:
    brace = line.find("{")
    name = line[:brace] if brace >= 0 else line.split(None, 1)[0]
    labels: dict[str, str] = {}
    rest = line[len(name) :]
    if brace >= 0:
        line = _escaped(line)
        labels, end = _labels(line, brace + 1, name)
        rest = line[end:]
    # A value, and perhaps the time in milliseconds.
    words = rest.split()
    value = _number(words[0]) if 1 <= len(words) <= 2 else None
    if value is None or (len(words) == 2 and not _INTEGER.issuperset(words[1])):
        raise UnreadableMetricsError(f"a line of {name} has no number")
    return Series(name, labels, value) if math.isfinite(value) else None


def _labels(line: str, at: int, name: str) -> tuple[dict[str, str], int]:
    """The labels from behind the brace on, and where the rest begins."""
    labels: dict[str, str] = {}
    while True:
        between = line[at : at + _MAX_BETWEEN]
        at += len(between) - len(between.lstrip(", \t"))
        if line[at : at + 1] == "}":
            return labels, at + 1
        equals = line.find('="', at)
        if equals < 0 or len(labels) == _MAX_LABELS_OF_ONE:
            raise UnreadableMetricsError(f"the labels of {name} cannot be read")
        quote = line.find('"', equals + 2)
        if quote < 0:
            raise UnreadableMetricsError(f"a label of {name} does not end")
        labels[line[at:equals]] = _unescaped(line[equals + 2 : quote])
        at = quote + 1


def _escaped(line: str) -> str:
    """A line in which each quote ends or begins a label's value: escaped ones are put aside."""
    return line.replace("\\\\", _BACKSLASH).replace('\\"', _QUOTE)


def _unescaped(value: str) -> str:
    return value.replace("\\n", "\n").replace(_QUOTE, '"').replace(_BACKSLASH, "\\")


def _number(text: str) -> float | None:
    """As Go writes numbers. Python's float takes more: underscores, digits of other scripts."""
    if text.lower() in _SAY_NOTHING:
        return math.nan
    if len(text) > _MAX_NUMBER_CHARACTERS or not _NUMBER.issuperset(text):
        return None
    try:
        return float(text)
    except ValueError:
        return None

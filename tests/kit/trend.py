"""How a measured quantity goes with time, told apart from its steps and its peaks."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_STRETCHES: Final = 20
_STUDENT: Final = 2.101
"""95 % are within, of a slope by 20 points."""
_PARTS: Final = 7


@dataclass(frozen=True, slots=True)
class Trend:
    """A slope an hour, and between which two it is with some 95 %."""

    slope: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.slope:+.2f} MB/h ({self.low:+.2f} to {self.high:+.2f})"


def straight(samples: Sequence[tuple[float, float]]) -> Trend:
    """The slope of samples (seconds, value) by least squares, of the lowest value in each of 20
    stretches of time: a peak of a moment is no growth."""
    points = _lowest(samples, _STRETCHES)
    if len(points) < _STRETCHES:
        return _UNKNOWN
    middle, mean = (statistics.fmean(each) for each in zip(*points, strict=True))
    spread = sum((at - middle) ** 2 for at, _ in points)
    slope = sum((at - middle) * (value - mean) for at, value in points) / spread
    rest = sum((value - mean - slope * (at - middle)) ** 2 for at, value in points)
    error = _STUDENT * math.sqrt(rest / (_STRETCHES - 2) / spread)
    return Trend(3600 * slope, 3600 * (slope - error), 3600 * (slope + error))


def stepped(samples: Sequence[tuple[float, float]]) -> Trend:
    """The slope of what may grow in steps, some of which come once: the median of the six slopes
    from each seventh of the time to the next, by the lowest value of each.

    Least squares make 4.5 MB/h of 1 MB that comes once, in the midst of 20 min. The least and the
    most of six have their median between them with 97 %, however they are distributed.
    """
    points = _lowest(samples, _PARTS)
    if len(points) < _PARTS:
        return _UNKNOWN
    slopes = [
        3600 * (after - before) / (later - at)
        for (at, before), (later, after) in itertools.pairwise(points)
    ]
    return Trend(statistics.median(slopes), min(slopes), max(slopes))


_UNKNOWN: Final = Trend(0.0, -math.inf, math.inf)
"""Of a few samples."""


def _lowest(samples: Sequence[tuple[float, float]], count: int) -> list[tuple[float, float]]:
    """Of each stretch of time that has any: its middle, and its lowest value."""
    if not samples:
        return []
    first, last = samples[0][0], samples[-1][0]
    length = (last - first) / count or 1.0
    found: dict[int, float] = {}
    for at, value in samples:
        stretch = min(int((at - first) / length), count - 1)
        found[stretch] = min(value, found.get(stretch, value))
    return [(first + (stretch + 0.5) * length, value) for stretch, value in found.items()]

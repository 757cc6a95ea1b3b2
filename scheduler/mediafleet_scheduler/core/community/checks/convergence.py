"""What workers report beside what somebody else counted of the same: do they converge? Pure.

A side that is missing makes a comparison "not measurable", and neither good nor bad.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """What a comparison comes to."""

    WITHIN = "within"
    OUTSIDE = "outside"
    NOT_MEASURABLE = "not measurable"
    NOT_ENOUGH = "not enough"
    """Too little has happened to say anything of what is random."""


@dataclass(frozen=True, slots=True)
class Band:
    """The ratios that are expected."""

    low: float
    high: float


BYTES: Final = Band(0.98, 1.02)
"""Bytes beside bytes of the kernel."""
MINUTES: Final = Band(0.95, 1.05)
"""Minutes of jobs beside minutes in which packets went by: a job begins and ends between looks."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two figures of one thing."""

    what: str
    reported: float | None
    """By the workers."""
    counted: float | None
    """By the kernel, or on chain."""
    band: Band
    verdict: Verdict

    @property
    def ratio(self) -> float | None:
        """Reported for one counted; `None`: not measurable."""
        if self.reported is None or not self.counted:
            return None
        return self.reported / self.counted

    @property
    def text(self) -> str:
        """One line, with both figures and the band."""
        ratio = "?" if self.ratio is None else f"{self.ratio:.3f}"
        return (
            f"{self.what}: {self.verdict}: reported {_said(self.reported)}, "
            f"counted {_said(self.counted)}, ratio {ratio}, "
            f"expected {self.band.low:g} to {self.band.high:g}"
        )


def compare(what: str, reported: float | None, counted: float | None, band: Band) -> Comparison:
    """Compare two figures; one that is `None` or no number from 0 is missing."""
    reported, counted = _known(reported), _known(counted)
    made = Comparison(what, reported, counted, band, Verdict.NOT_MEASURABLE)
    if made.ratio is None:
        return made
    within = band.low <= made.ratio <= band.high
    verdict = Verdict.WITHIN if within else Verdict.OUTSIDE
    return Comparison(what, reported, counted, band, verdict)


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def _said(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"

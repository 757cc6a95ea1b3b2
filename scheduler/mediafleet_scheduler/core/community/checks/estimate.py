"""Streams of who does not share, guessed from what they are paid. Pure.

An estimate is no figure: it stands beside the totals, is marked as estimated, and enters none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LEAST_SHARERS: Final = 3
"""Fewer ratios have no range."""
_LOW, _HIGH = 0.1, 0.9


@dataclass(frozen=True, slots=True)
class Sharer:
    """What one operator shares, and is paid for the same time."""

    streams: float
    """Average over the time."""
    payout: float
    """Of winning tickets, in any unit that all have."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Streams that somebody who does not share probably has."""

    streams: float
    low: float
    """A tenth of those who share have fewer streams for such a payout."""
    high: float
    """A tenth of them have more."""
    sharers: int
    """How many the estimate is from."""


def estimate(payout: float, sharers: Sequence[Sharer]) -> Estimate | None:
    """Streams for a payout, by streams per payout of those who share; `None`: nobody can say.

    Args:
        payout: of who does not share, over the same time and in the same unit as theirs.
        sharers: all who share; one without a payout, or with a figure that is no number, says
            nothing.
    """
    usable = [each for each in sharers if _is_usable(each)]
    if len(usable) < LEAST_SHARERS or not (math.isfinite(payout) and payout >= 0):
        return None
    ratio = sum(each.streams for each in usable) / sum(each.payout for each in usable)
    ratios = sorted(each.streams / each.payout for each in usable)
    low, high = quantile(ratios, _LOW), quantile(ratios, _HIGH)
    # The mean weighs by payout: a large operator may pull it out of the middle of the ratios.
    return Estimate(
        payout * ratio, payout * min(low, ratio), payout * max(high, ratio), len(usable)
    )


def quantile(rising: Sequence[float], share: float) -> float:
    """The value below which a share of the others lies, between two of them where need be."""
    place = share * (len(rising) - 1)
    below = math.floor(place)
    above = min(below + 1, len(rising) - 1)
    return rising[below] + (rising[above] - rising[below]) * (place - below)


def _is_usable(sharer: Sharer) -> bool:
    known = math.isfinite(sharer.streams) and math.isfinite(sharer.payout)
    return known and sharer.streams >= 0 and sharer.payout > 0

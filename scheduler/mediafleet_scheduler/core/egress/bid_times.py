"""How long to wait for a pod's bid: what was seen of its own bids says. Pure.

A pod bids while it holds a lock, under which it runs `pactl` too: at a load of 28 real pods bid
later than 200 ms, and said yes (seen on livekit/egress 1.14.1).
"""

from __future__ import annotations

import collections
import math
from collections.abc import Collection
from typing import Final

KEPT: Final = 50
"""The last bids of a pod."""
QUANTILE: Final = 0.95
MARGIN: Final = 2.0
"""So many times the quantile is waited for."""


class BidTimes:
    """The last bids of each pod, in seconds, by uid."""

    def __init__(self) -> None:
        self._seen: dict[str, collections.deque[float]] = {}

    def note(self, uid: str, seconds: float) -> None:
        """A pod has bid after so long, in time or late."""
        self._seen.setdefault(uid, collections.deque(maxlen=KEPT)).append(seconds)

    def wait(self, uid: str, least: float, most: float) -> float:
        """How long to wait for its next bid, within these bounds."""
        seen = sorted(self._seen.get(uid, ()))
        if not seen:
            return least
        high = seen[math.ceil(QUANTILE * len(seen)) - 1]
        return max(least, min(MARGIN * high, most))

    def keep_only(self, uids: Collection[str]) -> None:
        """Only these pods are there."""
        self._seen = {uid: seen for uid, seen in self._seen.items() if uid in uids}

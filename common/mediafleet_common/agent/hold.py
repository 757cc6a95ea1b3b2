"""How long a node that is to be ended is held back, in addition to the drain. Pure.

go-livepeer exits 10 s after SIGTERM whatever its sessions (cmd/livepeer/livepeer.go,
shutdownTimeout), so SIGTERM has to wait for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

IDLE_READINGS: Final = 2
LAST_SECONDS: Final = 15.0
"""Of the grace period left for the node's own end."""


class Release(StrEnum):
    """Why a node is let go."""

    IDLE = "idle"
    GONE = "gone"
    """Its port no longer listens."""
    OUT_OF_TIME = "out_of_time"


def limit(grace_seconds: float) -> float:
    """Seconds that a node may be held back under a grace period."""
    return max(grace_seconds - LAST_SECONDS, grace_seconds / 2)


def release(
    jobs: Sequence[int | None], listens: bool | None, waited_seconds: float, grace_seconds: float
) -> Release | None:
    """Whether to let a node go; `None`: hold on.

    `jobs`: what it said, newest last; unknown is not idle. `listens`: whether it still takes
    connections, `None` unknown.
    """
    if listens is False:
        return Release.GONE
    if len(jobs) >= IDLE_READINGS and all(each == 0 for each in jobs[-IDLE_READINGS:]):
        return Release.IDLE
    return Release.OUT_OF_TIME if waited_seconds >= limit(grace_seconds) else None

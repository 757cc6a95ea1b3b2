"""Whether a stock AI worker is there, may come back, or has stopped for good. Pure.

The process of a stock worker stays alive when its stream has ended for good, so its absence alone
tells it. One that will come back calls again after pauses of 90 s at most. But first it finishes
the tasks that it has, each of which may take 15 minutes (livepeer/go-livepeer server/ai_worker.go:
RunAIWorker, runAIWorker).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

AWAY_SECONDS: Final = 120.0
"""One that has no task has called again by then: its longest pause, and time to connect."""
TASK_SECONDS: Final = 900.0
"""How much longer one may be away that had tasks."""


class Presence(StrEnum):
    """Where a stock worker is."""

    HERE = "here"
    """Its stream stands."""
    AWAY = "away"
    """It has not come yet, or may come back by itself."""
    STOPPED = "stopped"
    """It will not come: its process has to be started again."""


@dataclass(slots=True)
class LastSeen:
    """When its stream last stood, and with what it left."""

    at: float
    """In seconds of the clock that `look` is given; at first when the looking began."""
    away_seconds: float = AWAY_SECONDS
    tasks: int = 0
    """What it had at the moment of leaving: what an earlier look has found may be done since."""

    def left(self, tasks: int, now: float) -> None:
        """Its stream has ended, while it had so many tasks."""
        self.at, self.tasks = now, tasks

    def look(self, now: float, *, here: bool) -> Presence:
        """Where it is now. `here`: whether its stream stands."""
        if here:
            return Presence.HERE
        most = self.away_seconds + (TASK_SECONDS if self.tasks else 0.0)
        return Presence.STOPPED if now - self.at > most else Presence.AWAY

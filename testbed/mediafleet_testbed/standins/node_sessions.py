"""The sessions of a stand-in node, and the log that an independent watcher reads. No I/O.

A session is known by the id in its auth token; the first segment begins it
(livepeer/go-livepeer core/orchestrator.go, getSegmentChan).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field


class CappedError(Exception):
    """go-livepeer's ErrOrchCap."""

    def __init__(self) -> None:
        super().__init__("OrchestratorCapped")


@dataclass(slots=True)
class Session:
    """One session, times in Unix seconds."""

    id: str
    started: float
    last_segment: float
    segments: int = 1
    ended: float | None = None
    how: str | None = None
    """ended (the gateway said so), idle (no segments), lost (the node went away)."""


def nobody(session_id: str, what: str) -> None:
    """Tells nobody."""


@dataclass(slots=True)
class Sessions:
    """At most `limit` at a time."""

    limit: int
    idle_seconds: float
    now: Callable[[], float]
    tell: Callable[[str, str], None] = nobody
    """Told the id and `started`, or how it ended."""
    active: dict[str, Session] = field(default_factory=dict)
    past: list[Session] = field(default_factory=list)
    ai: Counter[str] = field(default_factory=Counter)
    """AI jobs and live sessions under way, by model: no transcoding session, and no metric of its
    own counts those on external runners."""
    requested: Counter[str] = field(default_factory=Counter)
    """AI jobs that are over, by model (monitor/census.go, AIJobProcessed)."""

    def full(self) -> bool:
        """Whether another session would be refused."""
        self.expire()
        return len(self.active) >= self.limit

    def segment(self, session_id: str) -> bool:
        """Take a segment; whether it began a session.

        Raises:
            CappedError: it would begin one session too many.
        """
        if session := self.active.get(session_id):
            session.last_segment = self.now()
            session.segments += 1
            return False
        if self.full():
            raise CappedError
        now = self.now()
        self.active[session_id] = Session(session_id, now, now)
        self.tell(session_id, "started")
        return True

    def end(self, session_id: str, how: str = "ended") -> bool:
        """End a session; whether there was one."""
        session = self.active.pop(session_id, None)
        if session is None:
            return False
        session.ended, session.how = self.now(), how
        self.tell(session_id, how)
        self.past.append(session)
        return True

    def expire(self) -> None:
        """End the sessions that have had no segment for too long."""
        since = self.now() - self.idle_seconds
        for session in list(self.active.values()):
            if session.last_segment < since:
                self.end(session.id, "idle")

    def lose(self) -> list[Session]:
        """The node goes away: what that cuts off."""
        lost = list(self.active.values())
        for session in lost:
            self.end(session.id, "lost")
        return lost

    def report(self) -> dict[str, object]:
        """The truth about this node, for a watcher."""
        self.expire()
        return {
            "active": [asdict(session) for session in self.active.values()],
            "past": [asdict(session) for session in self.past],
            "limit": self.limit,
        }

"""Desks on one Redis that do not belong together. Pure; Unix time.

All desks on a Redis take every request, whatever the number of their database: pub/sub knows none.
So they must serve the same fleets, with the same ledger. Each says now and then what it serves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from mediafleet_scheduler.core.egress.views import Fleet

EVERY_SECONDS: Final = 10.0
FORGOTTEN_AFTER_SECONDS: Final = 35.0
"""A desk writes what it serves this often, and counts as gone after three times without a word.
Both are the same on all desks of a Redis, so they are no settings."""
IN_A_ROW: Final = 3
"""A change of the fleets reaches desks at different moments."""
MAX_BYTES: Final = 4096
_MAX_DESKS: Final = 100
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a desk says of itself."""

    desk: str
    """Its own random name."""
    db: int
    """Number of the database that has its ledger."""
    serves: str
    """The same for desks that serve the same fleets."""
    fleets: tuple[str, ...]
    """Some of their names, for people."""


def announcement(desk: str, db: int, fleets: Iterable[Fleet]) -> Announcement:
    """What a desk that serves these fleets says.

    Workers count only where a file names them: those of a cluster come and go.
    """
    fleets = sorted(fleets, key=lambda fleet: fleet.key)
    parts = [
        (each.key, each.uid, [] if each.namespace else sorted(w.cluster_id for w in each.workers))
        for each in fleets
    ]
    serves = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    names = tuple(each.key.removeprefix("/") for each in fleets[:_NAMED])
    return Announcement(desk, db, serves, names)


def to_bytes(said: Announcement) -> bytes:
    """For the bus."""
    fields = {"desk": said.desk, "db": said.db, "serves": said.serves, "fleets": said.fleets}
    return json.dumps(fields, separators=(",", ":")).encode()


def from_bytes(data: bytes) -> Announcement | None:
    """What a desk said; `None`: it makes no sense."""
    if len(data) > MAX_BYTES:
        return None
    try:
        said = json.loads(data)
        fleets = tuple(str(name) for name in said["fleets"][:_NAMED])
        return Announcement(str(said["desk"]), int(said["db"]), str(said["serves"]), fleets)
    except (ValueError, TypeError, KeyError):
        return None


@dataclass(slots=True)
class _Heard:
    said: Announcement
    at: float
    differed: int = 0
    """So many times in a row."""


@dataclass(slots=True)
class OtherDesks:
    """What the other desks on this Redis have said."""

    _heard: dict[str, _Heard] = field(default_factory=dict)

    def hear(self, said: Announcement, mine: Announcement, now: float) -> None:
        """A desk said what it serves, while this one serves `mine`."""
        if said.desk == mine.desk:
            return
        if len(self._heard) >= _MAX_DESKS and said.desk not in self._heard:
            return
        known = self._heard.setdefault(said.desk, _Heard(said, now))
        known.said, known.at = said, now
        known.differed = known.differed + 1 if said.serves != mine.serves else 0

    def complaints(self, mine: Announcement, now: float) -> list[str]:
        """A sentence for each way in which another desk does not belong here, with the fix."""
        gone = [
            desk for desk, each in self._heard.items() if now - each.at > FORGOTTEN_AFTER_SECONDS
        ]
        for desk in gone:
            del self._heard[desk]
        found = {complaint for each in self._heard.values() if (complaint := _of(each, mine))}
        return sorted(found)


def _of(each: _Heard, mine: Announcement) -> str | None:
    said = each.said
    if said.db != mine.db:
        return (
            f"another desk on this Redis has its ledger in db {said.db}, this one in db {mine.db}: "
            "both take every request, since pub/sub knows no databases. Give both the same db, or "
            "each environment a Redis of its own"
        )
    if each.differed < IN_A_ROW:
        return None
    return (
        f"another desk on this Redis serves other fleets or workers ({', '.join(said.fleets)}): a "
        "request goes to whichever bids first. Give both the same --workers file, or each "
        "environment a Redis of its own"
    )

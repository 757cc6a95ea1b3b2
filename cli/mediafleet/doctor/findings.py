"""What an examination found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How a finding counts."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing is broken."""
    UNKNOWN = "unknown"
    """It could not be looked at, so it is neither well nor broken."""
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    level: Level
    subject: str
    """What was looked at, e.g. `EgressFleet media/rec`."""
    what: str
    fix: str | None = None
    """What to do about it."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A fact that could not be read, and why."""

    why: str


def sick(findings: Sequence[Finding]) -> bool:
    """Whether anything is broken."""
    return any(each.level is Level.PROBLEM for each in findings)

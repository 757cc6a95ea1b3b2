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


class Page(StrEnum):
    """Sections of docs/doctor.md: what a finding means, and how it is put right."""

    NOT_EXAMINED = "not-examined"
    KUBERNETES = "kubernetes-version"
    RESOURCE = "resource-definition"
    OPERATOR = "no-operator"
    RIGHTS = "missing-rights"
    DEPLOYMENT = "deployment-not-ready"
    IMAGES = "different-images"
    RESTARTS = "container-restarts"
    SERVICE = "service-without-pods"
    PROCESS = "process-does-not-answer"
    STALE = "stale-watch"
    UNREADABLE = "unreadable-resources"
    CERTIFICATE = "certificate"
    KEDA = "keda"
    NO_FLEETS = "no-fleets"
    NOT_LOOKED_AT = "not-looked-at"
    DELETED = "being-deleted"
    CONDITION = "condition"
    INVALID = "invalid-resource"
    VERSION = "version-not-tested"
    MEMORY = "no-memory-limit"
    CPU = "next-to-no-cpu"
    COST = "cost-above-cpus"
    EXTRA_NODES = "extra-nodes"
    ADDRESS = "address-not-reachable"
    ENVIRONMENTS = "two-environments"
    REDIS_AWAY = "redis-away"
    REDIS_RIGHTS = "redis-rights"
    REDIS_SERVER = "redis-server"
    CLOCK = "clocks-apart"
    LISTENERS = "nobody-listens"
    FILE = "broken-file"
    WORKER = "worker-of-a-file"
    NODE = "node-of-a-file"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    level: Level
    subject: str
    """What was looked at, e.g. `EgressFleet media/rec`."""
    what: str
    fix: str | None = None
    """What to do about it."""
    page: Page | None = None
    """Where more is said; `None` where nothing needs doing."""

    @property
    def link(self) -> str | None:
        """The section of the documentation."""
        return None if self.page is None else f"docs/doctor.md#{self.page}"


@dataclass(frozen=True, slots=True)
class Unread:
    """A fact that could not be read, and why."""

    why: str


def sick(findings: Sequence[Finding]) -> bool:
    """Whether anything is broken."""
    return any(each.level is Level.PROBLEM for each in findings)

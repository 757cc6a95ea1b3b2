"""How a process is set up that counts and shows what is shared."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mediafleet_common.api.community import Community
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.serving.access import Access, LoopbackOnly


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says."""

    http: str
    """HOST:PORT of health, metrics and what is shared."""
    community: Community
    """What is shared."""
    state: Path | None = None
    """Folder of what was shared; `None`: a restart forgets it."""
    sender: str | None = None
    """URL of the metrics of who sends what is shared; `None`: nobody does."""
    reports: Access = field(default_factory=LoopbackOnly)
    """Who may read the status."""
    clock: Clock = SYSTEM

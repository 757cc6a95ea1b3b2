"""How a process is set up that counts and shows what is shared."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mediafleet_common.api.community import Community
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.ip_addresses import IpNetwork
from mediafleet_common.serving.access import Access, LoopbackOnly
from mediafleet_scheduler.community.exchange.redis import Place


@dataclass(frozen=True, slots=True)
class Telling:
    """How who sees gateways tells where demand comes from."""

    place: Place
    own_networks: tuple[IpNetwork, ...] = ()
    """Whose addresses are the operator's own."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says."""

    http: str
    """HOST:PORT of health, metrics and what is shared."""
    community: Community
    """What is shared."""
    state: Path | None = None
    """Folder of what was shared; `None`: a restart forgets it."""
    exchange: Place | None = None
    """Redis in which doors and advertisers tell where demand comes from; `None`: nobody does."""
    reports: Access = field(default_factory=LoopbackOnly)
    """Who may read the status."""
    clock: Clock = SYSTEM

"""What is known of one branch: which Redis, which fleets, and whether another branch serves them.

Two branches may turn out to be on one server. The one that ranks first serves all fleets of both:
every desk decides alike, and what is declared goes before what fleets write out.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.directory.publisher import Publisher

if TYPE_CHECKING:
    from mediafleet_common.api.egress.redis import RedisSpec
    from mediafleet_scheduler.egress.process.branch import EgressService
    from mediafleet_scheduler.psrpc.redis_bus import RedisBus


class Fleets(Publisher[EgressView]):
    """The part of the view that one branch serves: a directory of its own."""

    async def run(self) -> None:
        """Nothing to follow: the whole view is published by its owner."""


@dataclass(slots=True, eq=False)
class Branch:
    """What serves one Redis."""

    key: str
    """See `server_key`."""
    spec: RedisSpec | None
    fleets: Fleets = field(default_factory=Fleets)
    service: EgressService | None = None
    bus: RedisBus | None = None
    trouble: str | None = None
    """Why it is not open, once it has tried."""
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    host: Branch | None = None
    """Another on the same server, which serves its fleets."""
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    """`host` is another than before."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """It serves nothing at this moment."""

    def __post_init__(self) -> None:
        self.idle.set()

    @property
    def complaint(self) -> str | None:
        """Why it does not serve at this moment."""
        if self.service is None or self.bus is None:
            return self.trouble or "not open yet"
        return None if self.bus.connected else "no connection to Redis"

    @property
    def rank(self) -> tuple[bool, str]:
        """Of branches on one server, the first serves."""
        declared = self.spec is None or self.spec.ref is not None
        return (not declared, self.key)

    def move_to(self, host: Branch | None) -> None:
        """Have another serve its fleets, or none but itself."""
        if self.host is not host:
            self.host = host
            self.moved.set()


def server_key(spec: RedisSpec | None) -> str:
    """The same for all that name one server in the same words."""
    if spec is None:
        return ""
    # With a name come the secrets of the fleet's pods.
    return f"ref {spec.ref}" if spec.ref is not None else spec.model_dump_json(exclude={"db"})

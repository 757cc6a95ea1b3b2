"""Notice egress workers outside of fleets: those that win requests on the topic of the desks.

The desk sees all grants there: a server id that is no desk's is a foreign bidder's. While such
grants are seen a full desk makes no bid, so that foreign bidders receive what it has no room for.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Final

from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.psrpc import identifiers
from mediafleet_scheduler.psrpc.envelope import Grant

FAMILY: Final = "mediafleet"
"""What the server ids of all desks have in common."""

_log: Final = logging.getLogger(__name__)


class ForeignBidders:
    """Hears who is given requests."""

    def __init__(self, metrics: EgressMetrics, remembered_seconds: float) -> None:
        self._metrics = metrics
        self._remembered_seconds = remembered_seconds
        self._seen_at = -math.inf
        self._loop = asyncio.get_running_loop()

    @property
    def are_there(self) -> bool:
        """Whether one was given a request lately."""
        return self._loop.time() < self._seen_at + self._remembered_seconds

    def take(self, grant: Grant) -> None:
        """A client has chosen among the bidders of a request on the topic of the desks."""
        if identifiers.is_of_family(grant.server_id, FAMILY):
            return
        if not self.are_there:
            _log.warning("egress workers outside of fleets take requests: full fleets keep silent")
        self._seen_at = self._loop.time()
        self._metrics.foreign_bidders.inc()

"""What the page of an advertiser shows: `GET /ui/data` on its HTTP port, as JSON, and the same at
each change on `/ui/events`.
"""

from __future__ import annotations

from pydantic import Field

from mediafleet_common.api.base import Model
from mediafleet_common.reports.nodes import PoolNodes


class ConditionShown(Model):
    """A condition of the advertiser."""

    type: str
    """Its name."""
    status: str
    """True, False or Unknown."""
    reason: str
    """One word."""
    message: str
    """A sentence."""


class NodesPage(Model):
    """All that the page shows."""

    pool: PoolNodes
    """The nodes as gateways see them."""
    conditions: list[ConditionShown] = Field(default_factory=list)
    """What the advertiser says of its sources, head, addresses and list."""

"""A CommunityMetrics as the operator reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mediafleet_common.api.community_metrics import CommunityMetricsSpec, CommunityMetricsStatus
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.manifests.resource import owner_reference


@dataclass(frozen=True, slots=True)
class Sharing:
    """What of a pool is shared, and with whom."""

    key: FleetKey
    uid: str
    resource_version: str
    generation: int
    deleting: bool
    spec: CommunityMetricsSpec
    status: CommunityMetricsStatus | None

    @property
    def owner(self) -> dict[str, Any]:
        """The reference that makes it the owner of what it has made."""
        return owner_reference(self.key, self.uid)

"""A CommunityMetrics as the operator reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mediafleet_common.api.community_metrics import CommunityMetricsSpec, CommunityMetricsStatus
from mediafleet_common.api.names import Port
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.manifests.resource import owner_reference


def reporter_name(name: str) -> str:
    """Name of a reporter's Deployment and of what goes with it."""
    return f"{name}-reporter"


def reporter_url(name: str, namespace: str) -> str:
    """HTTP of the reporter of a CommunityMetrics, inside the cluster."""
    return f"http://{reporter_name(name)}.{namespace}.svc:{Port.DESK_HTTP}"


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

"""Asks desks what they know beside demand: the egress desk, which jobs of draining pods
livekit-server has not been told the end of; the broker, how an AIWorkerPool stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.names import Kind
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_operator.core.fleet.model import Unconfirmed
from mediafleet_operator.manifests.resource import Resource
from mediafleet_operator.rounds.desks.demand import DemandPoller

EVERY_SECONDS: Final = 1.0
BROKER_SECONDS: Final = 5.0
"""Between two questions after a pool's workers and tasks, which its status shows."""


@dataclass(frozen=True, slots=True)
class JobEnds:
    """What desks say of fleets that drain, and of AIWorkerPools."""

    poller: DemandPoller
    """One of its own: who scales a fleet asks at another pace."""
    egress_desk: str | None
    """URL of the egress desk's HTTP port; `None`: nobody is asked."""
    broker: str | None = None
    """URL of the broker's HTTP port; `None`: nobody is asked."""

    def follow(self, resource: Resource, *, draining: bool) -> None:
        """From now on ask after a fleet, or no more."""
        kind = resource.key.kind
        desk, seconds = self.egress_desk if draining else None, EVERY_SECONDS
        if kind is Kind.AI_WORKER_POOL:
            desk, seconds = self.broker, BROKER_SECONDS
        if desk is None or kind is Kind.ORCHESTRATOR_POOL or resource.deleting:
            self.poller.forget(resource.key)
        else:
            self.poller.follow(resource.key, f"{desk.rstrip('/')}/demand", seconds)

    def of(self, resource: Resource) -> Unconfirmed | None:
        """What was last heard of jobs; `None`: nothing that counts now."""
        said = self.poller.heard(resource.key)
        if not isinstance(said, FleetDemand) or said.unconfirmed is None:
            return None
        return Unconfirmed(said.at, said.unconfirmed)

    def of_broker(self, resource: Resource) -> FleetDemand | None:
        """What the broker last said of an AIWorkerPool; `None`: nothing that counts now."""
        if resource.key.kind is not Kind.AI_WORKER_POOL:
            return None
        said = self.poller.heard(resource.key)
        return said if isinstance(said, FleetDemand) else None

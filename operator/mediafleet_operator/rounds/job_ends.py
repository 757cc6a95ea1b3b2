"""Asks the egress desk which jobs of draining pods livekit-server has not been told the end of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.names import Kind
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_operator.core.fleet.model import Unconfirmed
from mediafleet_operator.manifests.resource import Resource
from mediafleet_operator.rounds.demand import DemandPoller

EVERY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class JobEnds:
    """What the desk says of fleets that drain."""

    poller: DemandPoller
    """One of its own: who scales a fleet asks at another pace."""
    egress_desk: str | None
    """URL of the egress desk's HTTP port; `None`: nobody is asked."""

    def follow(self, resource: Resource, *, draining: bool) -> None:
        """From now on ask after a fleet, or no more."""
        asked = resource.key.kind is Kind.EGRESS_FLEET and self.egress_desk is not None
        if draining and asked and not resource.deleting:
            url = f"{(self.egress_desk or '').rstrip('/')}/demand"
            self.poller.follow(resource.key, url, EVERY_SECONDS)
        else:
            self.poller.forget(resource.key)

    def of(self, resource: Resource) -> Unconfirmed | None:
        """What was last heard; `None`: nothing that counts now."""
        said = self.poller.heard(resource.key)
        if not isinstance(said, FleetDemand) or said.unconfirmed is None:
            return None
        return Unconfirmed(said.at, said.unconfirmed)

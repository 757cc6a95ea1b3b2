"""Keeps what a fleet has beside its pods, and says why something of it could not be made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.names import KIND_LABELS, Reason
from mediafleet_common.kube.errors import KubeError, RefusedError
from mediafleet_operator.core.fleet.model import Unmade
from mediafleet_operator.core.fleet.state import FleetState
from mediafleet_operator.core.plan import Plan
from mediafleet_operator.core.status.status import listed
from mediafleet_operator.kube.children import ChildNotOursError, Children, Needs
from mediafleet_operator.kube.digest import SlotService
from mediafleet_operator.kube.flag_head import Heads
from mediafleet_operator.manifests.children import disruption
from mediafleet_operator.manifests.overlay import InvalidTemplateError
from mediafleet_operator.manifests.resource import Resource
from mediafleet_operator.rounds.metrics import OperatorMetrics

REFUSED_SECONDS: Final = 10.0
"""After a Service, a claim or the like was refused."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of it."""

    unmade: Unmade | None = None
    """Why something could not be made."""
    look_again_seconds: float | None = None


@dataclass(slots=True)
class ChildResources:
    """What fleets have beside their pods."""

    children: Children
    heads: Heads
    metrics: OperatorMetrics

    async def protect(self, resource: Resource, state: FleetState) -> None:
        """Have the disruption budget before a pod is marked busy, or once there was one.

        What keeps it from being made is told by `keep`, and keeps no mark from being written.
        """
        with contextlib.suppress(ChildNotOursError, KubeError):
            await self.children.keep_one(resource, state.children, disruption.budget(resource))

    async def keep(
        self,
        resource: Resource,
        state: FleetState,
        planned: Plan,
        services: Iterable[SlotService],
    ) -> Kept:
        """Bring it all to what it ought to be, as far as the API server lets us.

        Raises:
            KubeError: something could not be read or written, for no fault of the resource's.
        """
        try:
            wanted = await self.heads.wanted(resource, state, listed(planned))
            head = wanted.manifests if wanted else None
            needs = Needs(
                slots=planned.slots_in_use,
                secret=planned.secret_lacking,
                budget=planned.some_busy,
            )
            await self.children.keep(resource, state, needs, services, head)
        except ChildNotOursError as error:
            self.metrics.failed(KIND_LABELS[resource.key.kind], "not_ours")
            return Kept(Unmade(Reason.CHILD_NOT_OURS, str(error)), REFUSED_SECONDS)
        except (RefusedError, InvalidTemplateError) as error:
            word = error.word if isinstance(error, RefusedError) else "invalid"
            self.metrics.failed(KIND_LABELS[resource.key.kind], word)
            return Kept(Unmade(Reason.PART_REFUSED, str(error)), REFUSED_SECONDS)
        return Kept(look_again_seconds=wanted.look_again_seconds if wanted else None)

"""Writes the conditions of desks to the status of their resources, beside the operator's."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.names import (
    API_VERSION,
    FIELD_MANAGER,
    GROUP,
    PLURALS,
    VERSION,
    Condition,
    Kind,
    Reason,
)
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.times import rfc3339
from mediafleet_common.kube.client import Connect, Json, connect
from mediafleet_common.kube.errors import KubeError
from mediafleet_common.kube.paths import Collection
from mediafleet_common.reports.finding import Finding
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.core.egress.views import Fleet

_KIND: Final = Kind.ORCHESTRATOR_POOL
_POOLS: Final = Collection(GROUP, VERSION, PLURALS[_KIND])
_MANAGER: Final = f"{FIELD_MANAGER}-advertiser"
"""Not the operator's: conditions are merged by type, and each manager has its own."""
_FLEETS: Final = Collection(GROUP, VERSION, PLURALS[Kind.EGRESS_FLEET])
_DESK: Final = f"{FIELD_MANAGER}-egress"

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PoolConditions:
    """The conditions of one pool."""

    namespace: str
    name: str
    connect: Connect = connect

    async def read(self) -> list[Json]:
        """All conditions that the pool has.

        Raises:
            KubeError: it could not be read.
        """
        async with self.connect() as api:
            raw = await api.get(_POOLS.item(self.namespace, self.name))
        return list((raw.get("status") or {}).get("conditions") or ())

    async def write(self, conditions: list[Json]) -> None:
        """Write these, and leave those of others alone.

        Raises:
            KubeError: it could not be written.
        """
        body = {
            "apiVersion": API_VERSION,
            "kind": _KIND.value,
            "metadata": {"name": self.name, "namespace": self.namespace},
            "status": {"conditions": conditions},
        }
        async with self.connect() as api:
            await api.apply(_POOLS.item(self.namespace, self.name, "status"), body, _MANAGER)


async def report_mode(
    fleet: Fleet, known: bool, connect: Connect = connect, clock: Clock = SYSTEM
) -> None:
    """Put condition ModeUnsupported on an EgressFleet with engine native, or log why not."""
    finding = Finding(
        "False" if known else "True",
        Reason.MODE_KNOWN if known else Reason.MODE_IGNORED,
        "The pods bid as spec.placement.mode says."
        if known
        else "An egress pod on this Redis bids as builds without affinity_mode do, so it packs. "
        "Use an image that knows it, mode pack, or engine scheduler.",
    )
    await _put(fleet, Condition.MODE_UNSUPPORTED, finding, connect, clock)


async def report_redis(
    fleet: Fleet, allowed: bool, connect: Connect = connect, clock: Clock = SYSTEM
) -> None:
    """Put condition RedisNotAllowed on an EgressFleet, or log why not. The desk alone sees it: the
    operator knows the fleet's words, and they name no Redis of others."""
    finding = Finding(
        "False" if allowed else "True",
        Reason.REDIS_ALLOWED if allowed else Reason.REDIS_OF_OTHERS,
        "The fleet may use its Redis."
        if allowed
        else "spec.redis leads to a Redis that is declared for other namespaces under other words, "
        "so no jobs are placed. Name one that is declared for this namespace, or have this one "
        "declared for it in chart value egress.redis[].",
    )
    await _put(fleet, Condition.REDIS_NOT_ALLOWED, finding, connect, clock)


async def _put(
    fleet: Fleet, condition: Condition, finding: Finding, connect: Connect, clock: Clock
) -> None:
    said = {
        "type": condition.value,
        "status": finding.status,
        "lastTransitionTime": rfc3339(clock.unix()),
        "reason": finding.reason.value,
        "message": finding.message,
    }
    body = {
        "apiVersion": API_VERSION,
        "kind": Kind.EGRESS_FLEET.value,
        "metadata": {"name": fleet.name, "namespace": fleet.namespace},
        "status": {"conditions": [said]},
    }
    try:
        async with connect() as api:
            await api.apply(_FLEETS.item(fleet.namespace, fleet.name, "status"), body, _DESK)
    except KubeError as error:
        _log.warning("condition of %s was not written: %s", fleet.key, printable(str(error), 300))

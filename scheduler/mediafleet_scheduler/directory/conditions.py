"""Puts what desks find on the status of their resources, beside the conditions of the operator."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

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
from mediafleet_common.kube.access import (
    ApiAwayError,
    Collection,
    apply_status,
    read_object,
)
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

    async def read(self) -> list[dict[str, Any]]:
        """All conditions that the pool has.

        Raises:
            ApiAwayError: it could not be done.
        """
        raw = await read_object(_POOLS, self.namespace, self.name)
        return list((raw.get("status") or {}).get("conditions") or ())

    async def write(self, conditions: list[dict[str, Any]]) -> None:
        """Write these, and leave those of others alone.

        Raises:
            ApiAwayError: it could not be done.
        """
        body = {
            "apiVersion": API_VERSION,
            "kind": _KIND.value,
            "metadata": {"name": self.name, "namespace": self.namespace},
            "status": {"conditions": conditions},
        }
        await apply_status(_POOLS, self.namespace, self.name, _MANAGER, body)


async def tell_mode(fleet: Fleet, known: bool) -> None:
    """Put condition ModeUnsupported on an EgressFleet with engine native, or say why not."""
    finding = {
        "type": Condition.MODE_UNSUPPORTED.value,
        "status": "False" if known else "True",
        "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "reason": (Reason.MODE_KNOWN if known else Reason.MODE_IGNORED).value,
        "message": "The pods bid as spec.placement.mode says."
        if known
        else "An egress pod on this Redis bids as builds without affinity_mode do, so it packs. "
        "Use an image that knows it, mode pack, or engine scheduler.",
    }
    body = {
        "apiVersion": API_VERSION,
        "kind": Kind.EGRESS_FLEET.value,
        "metadata": {"name": fleet.name, "namespace": fleet.namespace},
        "status": {"conditions": [finding]},
    }
    try:
        await apply_status(_FLEETS, fleet.namespace, fleet.name, _DESK, body)
    except ApiAwayError as error:
        _log.warning("condition of %s was not written: %s", fleet.key, printable(str(error), 300))

"""Puts an advertiser's conditions on its OrchestratorPool, beside those of the operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from mediafleet_common.api.names import API_VERSION, FIELD_MANAGER, GROUP, PLURALS, VERSION, Kind
from mediafleet_scheduler.directory.kube_access import Collection, apply_status, read_object

_KIND: Final = Kind.ORCHESTRATOR_POOL
_POOLS: Final = Collection(GROUP, VERSION, PLURALS[_KIND])
_MANAGER: Final = f"{FIELD_MANAGER}-advertiser"
"""Not the operator's: conditions are merged by type, and each manager has its own."""


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

"""Nodes of one plan's own, which go silent and come back: kwok plays their kubelet meanwhile."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.kit.watching.api import Api, ApiRefusedError, pods

from mediafleet_testbed.cluster.kwok import MARK, ON_IT, played

_OF: Final = "faults"
"""Label of a plan's nodes; its value is the plan's namespace."""
_SILENT: Final = {"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}
"""As the controller of nodes puts it on one that it does not hear of."""


class Nodes:
    """Those of one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api, self._namespace = api, namespace
        self._made: list[str] = []

    @property
    def on_them(self) -> dict[str, Any]:
        """What a pod's spec needs to go to one of them, and to no other."""
        return {**ON_IT, "nodeSelector": {_OF: self._namespace}}

    async def make(self) -> str:
        """One more; its name."""
        name = f"{self._namespace}-{len(self._made)}"
        self._made.append(name)
        await self._api.post("/api/v1/nodes", played(name, {_OF: self._namespace}))
        return name

    async def silence(self, name: str) -> None:
        """Nobody has heard of it for a minute; its pods may run all the same."""
        at = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        taints = [*played(name)["spec"]["taints"], _SILENT]
        await self._play(name, None, taints)
        unheard = {"type": "Ready", "status": "Unknown", "lastTransitionTime": at}
        await self._api.patch(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [unheard]}})

    async def revive(self, name: str) -> None:
        """It is heard of again."""
        await self._play(name, "true", played(name)["spec"]["taints"])

    async def lose(self, name: str) -> None:
        """Say that it will never come back: it and its pods are no more."""
        for each in (await self._api.get(pods(self._namespace)))["items"]:
            if each["spec"].get("nodeName") == name:
                path = f"{pods(self._namespace)}/{each['metadata']['name']}"
                await self._api.delete(path, {"gracePeriodSeconds": 0})
        await self._api.delete(f"/api/v1/nodes/{name}")

    async def remove(self) -> None:
        """All of them."""
        for name in self._made:
            with contextlib.suppress(ApiRefusedError):  # lost before
                await self._api.delete(f"/api/v1/nodes/{name}")

    async def _play(self, name: str, mark: str | None, taints: list[dict[str, str]]) -> None:
        body = {"metadata": {"annotations": {MARK: mark}}, "spec": {"taints": taints}}
        await self._api.patch(f"/api/v1/nodes/{name}", body)

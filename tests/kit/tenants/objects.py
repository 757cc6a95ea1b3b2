"""What a tenant may do to its own objects at the API server, to cost those who watch them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any, Final

from tests.kit.fleets import manifests
from tests.kit.tenants.plan import Plan, hostile_specs

from mediafleet_common.api.names import API_VERSION, PLURALS, Kind, Label
from mediafleet_common.kube.client import Api
from mediafleet_common.kube.errors import ConflictError
from mediafleet_common.kube.paths import Target

NAMES: Final = 40
"""Hostile resources of each kind at a time."""
FLIPPED: Final = 20
"""Pods that change again and again."""
PLAIN_AT_A_TIME: Final = 5
"""As many calls as the attacks by objects have under way."""
_SECURE: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
Calls = AsyncIterator[Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Objects:
    """The attacks by objects; each is calls without end."""

    plan: Plan
    api: Api

    def _resources(self, kind: Kind) -> Target:
        plural = PLURALS[kind]
        return Target(f"/apis/{API_VERSION}/namespaces/{self.plan.namespace}/{plural}", plural)

    def _core(self, plural: str) -> Target:
        return Target(f"/api/v1/namespaces/{self.plan.namespace}/{plural}", plural)

    async def resources(self) -> Calls:
        """Many fleets and pools that are wrong, made and changed without a pause."""
        specs = hostile_specs(self.plan)
        for number in itertools.count():
            kind, spec = specs[number % len(specs)]
            target, name = self._resources(kind), f"h-{number % NAMES}"
            meta = {"name": name, "annotations": {"turn": str(number)}}
            body = {"apiVersion": API_VERSION, "kind": kind.value, "metadata": meta, "spec": spec}
            if number < NAMES:
                yield self.api.create(target, body)
            else:
                yield self.api.patch(target.item(name), body)

    async def churn(self) -> Calls:
        """Good fleets, made and deleted without a pause, each on a Redis of its own spelling."""
        target = self._resources(Kind.EGRESS_FLEET)
        for _ in itertools.count():
            name = f"c-{time.time_ns()}"
            yield self._made_and_deleted(target, name)

    async def _made_and_deleted(self, target: Target, name: str) -> None:
        fleet = manifests.egress_fleet(name, {"ref": "theirs"}, 0)
        meta = (await self.api.create(target, fleet))["metadata"]
        # The operator may have written it meanwhile; then it stays.
        with contextlib.suppress(ConflictError):
            await self.api.delete(target.item(name), meta["uid"], meta["resourceVersion"])

    def _pod(self, name: str, uid: str, labels: dict[str, str]) -> dict[str, Any]:
        owner = {"apiVersion": API_VERSION, "kind": Kind.EGRESS_FLEET.value, "name": "own"}
        owners = [{**owner, "uid": uid, "controller": True}]
        meta = {"name": name, "labels": labels, "ownerReferences": owners}
        # As little as there is, so that the quota admits many.
        limits = {"limits": {"cpu": "1m"}}
        container = {
            "name": "egress",
            "image": "x",
            "securityContext": _SECURE,
            "resources": limits,
        }
        # No scheduler takes them, so that they cost the node nothing.
        spec = {"schedulerName": "nobody", "containers": [container]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}

    async def pods(self) -> Calls:
        """Pods that say they are the victim's."""
        for number in itertools.count():
            body = self._pod(f"forged-{number}", self.plan.fleet_uid, self.plan.labels)
            yield self.api.create(self._core("pods"), body)
            await asyncio.sleep(0.1)

    async def flips(self) -> Calls:
        """Pods of the attacker's own fleet whose labels change without a pause."""
        pods = self._core("pods")
        labels = {**self.plan.labels, Label.FLEET.value: "own"}
        for number in itertools.count():
            name = f"flip-{number % FLIPPED}"
            state = ("ready", "draining")[number // FLIPPED % 2]
            changed = {**labels, Label.STATE.value: state}
            if number < FLIPPED:
                yield self.api.create(pods, self._pod(name, self.plan.own_uid, changed))
            else:
                meta = {"labels": changed, "annotations": {"turn": str(number)}}
                yield self.api.patch(pods.item(name), {"metadata": meta})

    async def events(self) -> Calls:
        """Events without end."""
        for number in itertools.count():
            about = {"kind": "EgressFleet", "name": "h-0", "namespace": self.plan.namespace}
            meta = {"name": f"noise-{number}"}
            body = {"apiVersion": "v1", "kind": "Event", "metadata": meta, "involvedObject": about}
            yield self.api.create(self._core("events"), {**body, "message": "x" * 900})

    async def plain(self) -> Calls:
        """No attack on us: ConfigMaps of its own changed without a pause, for comparison."""
        target = self._core("configmaps")
        names = [f"plain-{number}" for number in range(PLAIN_AT_A_TIME)]
        for name in names:
            meta = {"name": name}
            yield self.api.create(
                target, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
            )
        for number in itertools.count():
            body = {"data": {"x": "x" * 900, "turn": str(number)}}
            yield asyncio.gather(*(self.api.patch(target.item(name), body) for name in names))

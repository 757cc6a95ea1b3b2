"""Keeps what belongs to a fleet beside its pods: disruption budget, advertiser, and the Services
of slots."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from mediafleet_common.api.names import FIELD_MANAGER, Kind
from mediafleet_operator.core.model import FleetKey
from mediafleet_operator.kube import paths
from mediafleet_operator.kube.client import Api, Json
from mediafleet_operator.kube.digesting import SlotService
from mediafleet_operator.kube.errors import ConflictError, GoneError, RefusedError
from mediafleet_operator.manifests import advertiser, disruption, slots
from mediafleet_operator.manifests.pods import Product
from mediafleet_operator.manifests.resource import Resource

LOOK_SECONDS: Final = 300.0
"""So often it is looked whether somebody else has changed or deleted them."""


@dataclass(slots=True)
class Children:
    """Applies the children of fleets when they differ from what they ought to be."""

    api: Api
    product: Product
    clock: Callable[[], float] = time.monotonic
    _right: dict[tuple[FleetKey, str, str], tuple[Json, float]] = field(default_factory=dict)
    """What each was last seen or made to be, and when."""

    async def keep(
        self,
        resource: Resource,
        slots_in_use: Iterable[int] = (),
        services: Iterable[SlotService] = (),
    ) -> None:
        """Bring all children of a fleet to what they ought to be.

        `services`: those of slots as they now are; of slots no longer in use they are deleted.

        Raises:
            KubeError: one of them could not be read or written.
        """
        # One after the other: a RoleBinding is refused while its Role is not there.
        in_use = set(slots_in_use)
        of_slots = slots.services(resource, in_use)
        refused: RefusedError | None = None
        claims = slots.claims(resource, in_use)
        for manifest in [*of_slots, *claims, *wanted(resource, self.product)]:
            try:
                await self._keep(resource, manifest)
            except RefusedError as error:
                # It must not keep the others from being made.
                name = f"{manifest['kind']} {manifest['metadata']['name']}"
                refused = refused or RefusedError(error.reason, f"{name}: {error}")
        kept = {manifest["metadata"]["name"] for manifest in of_slots}
        for service in services:
            if service.name not in kept and service.owner_uid == resource.uid:
                await self._delete(service)
        if refused is not None:
            raise refused

    async def _delete(self, service: SlotService) -> None:
        self._right.pop((service.key, "Service", service.name), None)
        if service.deleting:
            return
        target = paths.item(paths.services(service.key.namespace), service.name)
        with contextlib.suppress(GoneError, ConflictError):
            await self.api.delete(target, service.uid, service.resource_version)

    async def _keep(self, resource: Resource, manifest: Json) -> None:
        name = str(manifest["metadata"]["name"])
        key = (resource.key, str(manifest["kind"]), name)
        known = self._right.get(key)
        now = self.clock()
        if known and known[0] == manifest and now - known[1] < LOOK_SECONDS:
            return
        target = paths.of_manifest(manifest, resource.key.namespace, name)
        try:
            live = await self.api.get(target)
        except GoneError:
            live = {}
        if not contains(live, manifest):
            await self.api.apply(target, manifest, FIELD_MANAGER)
        self._right[key] = (manifest, now)

    def forget(self, key: FleetKey) -> None:
        """The fleet is gone; its children go by their owner reference."""
        self._right = {each: right for each, right in self._right.items() if each[0] != key}


def wanted(resource: Resource, product: Product) -> list[Json]:
    """The children of a fleet."""
    children = [disruption.budget(resource)]
    if resource.key.kind is Kind.ORCHESTRATOR_POOL:
        children += advertiser.manifests(resource, product)
    return children


def contains(live: Any, part: Any) -> bool:
    """Whether an object has all of a manifest; what the API server added does not matter."""
    if isinstance(part, dict):
        return isinstance(live, dict) and all(
            key in live and contains(live[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return (
            isinstance(live, list)
            and len(live) == len(part)
            and all(contains(one, other) for one, other in zip(live, part, strict=True))
        )
    return bool(live == part)

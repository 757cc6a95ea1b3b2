"""Keeps what belongs to a fleet beside its pods: disruption budget, advertiser, and the Services
of slots."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from mediafleet_common.api.names import FIELD_MANAGER, Kind
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.kube.client import Api, Json
from mediafleet_common.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    GoneError,
    RefusedError,
)
from mediafleet_common.kube.paths import Target
from mediafleet_operator.core.fleet.state import FleetState, Made
from mediafleet_operator.kube import digest, paths
from mediafleet_operator.kube.digest import SlotService
from mediafleet_operator.manifests.children import advertiser, disruption, flag_head, slots
from mediafleet_operator.manifests.pods import orch_secret
from mediafleet_operator.manifests.pods.pod import Product
from mediafleet_operator.manifests.resource import Owner, Resource

_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What the pods of a fleet need beside them."""

    slots: frozenset[int] = frozenset()
    """Slots in use."""
    secret: bool = True
    """Whether a pod may lack the Secret that we make."""
    budget: bool = True
    """Whether there is a busy pod, or is to be one."""


ChildMap = MutableMapping[tuple[str, str], Made]
"""Children by kind and name, as they were last made."""


class ChildNotOursError(Exception):
    """An object of a child's name is not controlled by the fleet; the text says which."""


@dataclass(slots=True)
class Children:
    """Applies the children of fleets when they differ from what they ought to be."""

    api: Api
    product: Product
    clock: Clock = SYSTEM
    look_seconds: float = 300.0
    """Between two looks at one that was right: somebody else may have changed or deleted it."""

    async def keep(
        self,
        resource: Resource,
        state: FleetState,
        needs: Needs = Needs(),
        services: Iterable[SlotService] = (),
        head: list[Json] | None = None,
    ) -> None:
        """Bring all children of a fleet to what they ought to be.

        `services`: those of slots as they now are; of slots no longer in use they are deleted.
        `head`: the objects of a managed head, which is there in the advertiser's place.

        Raises:
            ChildNotOursError: somebody else has an object of the name of one of them.
            KubeError: one of them could not be read or written.
        """
        # One after the other: a RoleBinding is refused while its Role is not there.
        of_slots = slots.services(resource, needs.slots)
        refused: RefusedError | ChildNotOursError | None
        refused = await self._make_secret(resource, state, needs)
        budget = disruption.budget(resource)
        protected = needs.budget or _key(budget) in state.children
        claims = slots.claims(resource, needs.slots)
        others = wanted(resource, self.product, head)
        for manifest in [*of_slots, *claims, *([budget] if protected else []), *others]:
            try:
                await self.keep_one(resource, state.children, manifest)
            except RefusedError as error:
                # The others are made all the same.
                name = f"{manifest['kind']} {manifest['metadata']['name']}"
                refused = refused or RefusedError(error.reason, f"{name}: {error}")
            except ChildNotOursError as error:
                refused = refused or error
        kept = {manifest["metadata"]["name"] for manifest in of_slots}
        for service in services:
            if service.name not in kept and service.owner_uid == resource.uid:
                await self._delete(state, service)
        for name in unwanted(resource, has_head=head is not None):
            await self._drop_deployment(resource, state, name)
        if refused is not None:
            raise refused

    async def _make_secret(
        self, resource: Resource, state: FleetState, needs: Needs
    ) -> RefusedError | None:
        """Make the pool's -orchSecret if there is none; why not.

        We may not look whether it is there, so that each look is a write: where a pod may lack it.
        """
        spec = resource.spec
        if not isinstance(spec, OrchestratorPoolSpec) or spec.orch_secret is not None:
            return None
        name = orch_secret.secret_name(resource)
        made = Made({}, self.clock.monotonic())
        known = state.children.get(("Secret", name))
        if not needs.secret or self._fresh(known, made):
            return None
        manifest = orch_secret.manifest(resource, secrets.token_hex(_SECRET_BYTES))
        target = paths.collection("v1", "secrets", resource.key.namespace)
        try:
            await self.api.create(target, manifest)
        except AlreadyExistsError:
            # It is ours: the pool's uid is in its name, and we may not read it.
            pass
        except RefusedError as error:
            return RefusedError(error.reason, f"Secret {name}: {error}")
        state.children["Secret", name] = made
        return None

    async def _delete(self, state: FleetState, service: SlotService) -> None:
        state.children.pop(("Service", service.name), None)
        if service.deleting:
            return
        target = paths.services(service.key.namespace).item(service.name)
        with contextlib.suppress(GoneError, ConflictError):
            await self.api.delete(target, service.uid, service.resource_version)

    async def _drop_deployment(self, resource: Resource, state: FleetState, name: str) -> None:
        """Delete what another advertise.mode has made."""
        absent = Made({}, self.clock.monotonic())
        if self._fresh(state.children.get(("Deployment", name)), absent):
            return
        namespace = resource.key.namespace
        target = paths.collection("apps/v1", "deployments", namespace).item(name)
        with contextlib.suppress(GoneError, ConflictError):
            meta = (await self.api.get(target))["metadata"]
            if digest.controller_uid(meta) == resource.uid:
                await self.api.delete(target, meta["uid"], meta["resourceVersion"])
        state.children["Deployment", name] = absent

    async def keep_one(self, resource: Owner, made_of: ChildMap, manifest: Json) -> None:
        """Bring one child to what it ought to be.

        Raises:
            ChildNotOursError: somebody else has an object of its name.
            KubeError: it could not be read or written.
        """
        key = _key(manifest)
        made = Made(manifest, self.clock.monotonic())
        if self._fresh(made_of.get(key), made):
            return
        target = paths.of_manifest(manifest, resource.key.namespace, key[1])
        try:
            live = await self.api.get(target)
        except GoneError:
            live = {}
        if live and not _ours(live["metadata"], manifest, resource):
            word = "resource" if resource.key.kind is Kind.COMMUNITY_METRICS else "fleet"
            raise ChildNotOursError(
                f"{key[0]} {key[1]} was made by somebody else, so it is left as it is. "
                f"Delete it, and ours takes its place, or give the {word} another name."
            )
        if not contains(live, manifest):
            await apply_ours(self.api, target, manifest, live)
        made_of[key] = made

    def _fresh(self, known: Made | None, now: Made) -> bool:
        """Whether an object was the same when it was last looked at, not long ago."""
        if known is None or known.manifest != now.manifest:
            return False
        return now.at - known.at < self.look_seconds


async def apply_ours(api: Api, target: Target, manifest: Json, live: Json) -> Json:
    """Apply an object that is ours, or (`live` is empty) not there.

    Raises:
        ConflictError: meanwhile somebody else made one of that name.
        KubeError: it could not be written.
    """
    if not live:
        return await api.apply(target, manifest, FIELD_MANAGER, force=False)
    metadata = {**manifest["metadata"], "uid": live["metadata"]["uid"]}
    return await api.apply(target, {**manifest, "metadata": metadata}, FIELD_MANAGER)


def _key(manifest: Json) -> tuple[str, str]:
    return str(manifest["kind"]), str(manifest["metadata"]["name"])


def _ours(meta: Json, manifest: Json, resource: Owner) -> bool:
    """Whether the fleet controls a live object. A claim has no owner: it goes by its labels."""
    if "ownerReferences" in manifest["metadata"]:
        return digest.controller_uid(meta) == resource.uid
    return contains(meta.get("labels") or {}, manifest["metadata"]["labels"])


def wanted(resource: Resource, product: Product, head: list[Json] | None = None) -> list[Json]:
    """The children of a fleet but for those of its pods."""
    if head is not None:
        return head
    if resource.key.kind is Kind.ORCHESTRATOR_POOL:
        return advertiser.manifests(resource, product)
    return []


def unwanted(resource: Resource, *, has_head: bool) -> list[str]:
    """Deployments that a pool has no more once its advertise.mode is another."""
    if resource.key.kind is not Kind.ORCHESTRATOR_POOL:
        return []
    pool = resource.key.name
    return [advertiser.advertiser_name(pool) if has_head else flag_head.head_name(pool)]


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

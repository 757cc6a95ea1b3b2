"""Keeps the ScaledObject or HPA of a fleet, and reads what they say of themselves."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from mediafleet_common.api.names import FIELD_MANAGER, KEDA_PAUSE, Kind, Reason
from mediafleet_common.api.scaling.autoscaling import Autoscaling, Engine
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.kube.client import Api, Json
from mediafleet_common.kube.errors import ConflictError, GoneError, KubeError
from mediafleet_common.kube.paths import Target
from mediafleet_operator.core.autoscaling.cron import BadScheduleError
from mediafleet_operator.core.autoscaling.model import Found, policy
from mediafleet_operator.core.autoscaling.schedule import bounds
from mediafleet_operator.core.fleet.state import FleetState, Made, Scaler
from mediafleet_operator.kube import digest, paths
from mediafleet_operator.kube.children import apply_ours, contains
from mediafleet_operator.manifests.children import scaling
from mediafleet_operator.manifests.children.scaling import KINDS, Keda
from mediafleet_operator.manifests.resource import Resource

_log: Final = logging.getLogger(__name__)
DISCOVER_SECONDS: Final = 30.0
"""So often it is looked whether the cluster knows ScaledObjects."""
_NO_SCALER: Final = {
    Kind.EGRESS_FLEET: "The egress desk has no scaler: set chart value egress.scaler.enabled.",
    Kind.AI_WORKER_POOL: "The broker has no scaler: add the release's namespace to chart value "
    "keda.poolNamespaces.",
}


@dataclass(slots=True)
class Scalers:
    """Applies the scalers of fleets when they differ from what they ought to be."""

    api: Api
    keda: Keda
    clock: Clock = SYSTEM
    look_seconds: float = 15.0
    """Between two looks at what KEDA or the HPA says, and whether somebody changed the object."""
    _known: tuple[float, bool] | None = None
    """When it was last looked whether there is KEDA, and whether there was."""
    _tolerance: bool = True
    """Whether the cluster has taken `tolerance` so far."""

    async def keep(
        self,
        resource: Resource,
        state: FleetState,
        asked: Autoscaling,
        certificate: str | None = None,
    ) -> Found:
        """Bring a fleet's scaler to what it ought to be; what it says.

        `certificate`: which one the desk's scaler shows KEDA, as far as that is known.

        Raises:
            KubeError: it could not be read or written.
        """
        try:
            limits = bounds(policy(asked), self.clock.unix())
        except BadScheduleError as error:
            return Found(False, Reason.SCHEDULE_INVALID, f"{error}. Nothing is changed.")
        if asked.engine is Engine.KEDA:
            if self.keda.address(resource) is None:
                why = _NO_SCALER[resource.key.kind]
                return Found(False, Reason.DESK_UNREACHABLE, why)
            if not await self._knows_keda():
                why = (
                    "The cluster does not know ScaledObjects, so replicas stay as they are. "
                    "Install KEDA, or set spec.autoscaling.engine to builtin."
                )
                return Found(False, Reason.KEDA_MISSING, why)
            manifest = scaling.scaled_object(
                *(resource, asked, limits, self.keda),
                tolerance=self._tolerance,
                certificate=certificate,
            )
        else:
            manifest = scaling.hpa(resource, asked, limits, tolerance=self._tolerance)
        return await self._keep(resource, state, manifest, asked.engine)

    async def remove(self, resource: Resource, state: FleetState, engine: Engine) -> None:
        """Delete what an engine worked by, if it is ours; returns once it is gone.

        Raises:
            KubeError: it could not be read or deleted, or is not gone yet: KEDA has a finalizer.
        """
        if engine not in KINDS:
            return
        state.scaler = None
        target = self._target(resource, engine)
        with contextlib.suppress(GoneError):
            meta = (await self.api.get(target))["metadata"]
            if not _owned(meta, resource):
                return
            if "deletionTimestamp" not in meta:
                await self.api.delete(target, meta["uid"], meta["resourceVersion"])
                meta = (await self.api.get(target))["metadata"]
            finalizers = ", ".join(meta.get("finalizers") or ()) or "none"
            raise ConflictError(f"{target.path} is being deleted (finalizers: {finalizers})")

    async def _keep(
        self, resource: Resource, state: FleetState, manifest: Json, engine: Engine
    ) -> Found:
        made = Made(manifest, self.clock.monotonic())
        known = state.scaler
        if (
            known
            and known.made.manifest == manifest
            and made.at - known.made.at < self.look_seconds
        ):
            return known.found
        target = self._target(resource, engine)
        try:
            live = await self.api.get(target)
        except GoneError:
            live = {}
        if live and not _owned(live["metadata"], resource):
            found = _not_ours(resource, engine)
            state.scaler = Scaler(made, found)
            return found
        if engine is Engine.KEDA:
            manifest = scaling.keep_trigger_name(manifest, live)
        if not contains(live, manifest) or _taken_back(live, manifest):
            live = await self._apply(target, manifest, live)
        found = said(engine, live)
        state.scaler = Scaler(made, found)
        return found

    async def _apply(self, target: Target, manifest: Json, live: Json) -> Json:
        try:
            return await apply_ours(self.api, target, manifest, live)
        except KubeError as error:
            if not self._tolerance or "tolerance" not in str(error):
                raise
            # A cluster or KEDA from before the field: then 10 % it is, as the docs say.
            _log.warning("tolerance is not known here, so the default of 10 %% holds: %s", error)
            self._tolerance = False
            return await apply_ours(self.api, target, _without_tolerance(manifest), live)

    async def _knows_keda(self) -> bool:
        now = self.clock.monotonic()
        if self._known is None or now - self._known[0] >= DISCOVER_SECONDS:
            group = Target(f"/apis/{scaling.KEDA_API}", "discovery")
            try:
                listed = await self.api.get(group)
            except GoneError:
                listed = {}
            names = {each.get("name") for each in listed.get("resources") or ()}
            self._known = (now, "scaledobjects" in names)
        return self._known[1]

    def _target(self, resource: Resource, engine: Engine) -> Target:
        version, kind = KINDS[engine]
        manifest: dict[str, object] = {"apiVersion": version, "kind": kind}
        return paths.of_manifest(manifest, resource.key.namespace, scaling.scaler_name(resource))


def _owned(meta: Json, resource: Resource) -> bool:
    """Whether the fleet controls the object with these metadata."""
    return digest.controller_uid(meta) == resource.uid


def _taken_back(live: Json, manifest: Json) -> bool:
    """Whether the object has annotations that we once passed on and that are not wanted any more.

    By the API server's own record, so that it holds over our restarts and leaves alone what a
    person wrote on the object. Form: structured-merge-diff/v6 fieldpath.
    """
    wanted = manifest["metadata"].get("annotations") or {}
    return any(
        field.removeprefix("f:") not in wanted
        for entry in live["metadata"].get("managedFields") or ()
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply"
        for field in entry["fieldsV1"].get("f:metadata", {}).get("f:annotations", {})
        if field.startswith("f:")
    )


def _not_ours(resource: Resource, engine: Engine) -> Found:
    kind, name = KINDS[engine][1], scaling.scaler_name(resource)
    why = (
        f"{kind} {resource.key.namespace}/{name} was made by somebody else, so it is left as it "
        "is. Delete it, and ours takes its place, or set spec.autoscaling.engine to none and leave "
        "the count to it."
    )
    return Found(False, Reason.SCALER_NOT_OURS, why)


def said(engine: Engine, live: Json) -> Found:
    """What a ScaledObject or an HPA says in its conditions.

    Types: kedacore/keda apis/keda/v1alpha1/condition_types.go, kubernetes autoscaling/v2.
    """
    conditions: Iterable[Any] = (live.get("status") or {}).get("conditions") or ()
    by_type = {each.get("type"): each for each in conditions}
    name = "KEDA" if engine is Engine.KEDA else "The HPA"
    if engine is Engine.KEDA:
        if _is(by_type, "Paused", "True"):
            why = f"KEDA is paused by an annotation {KEDA_PAUSE}."
            return Found(False, Reason.PAUSED, why)
        if _is(by_type, "Fallback", "True"):
            why = "KEDA cannot learn the demand, so its fallback keeps the pods that there are."
            return Found(False, Reason.DEMAND_UNKNOWN, why)
    ready = by_type.get("Ready" if engine is Engine.KEDA else "ScalingActive")
    if ready is None:
        return Found(False, Reason.SCALER_NOT_READY, f"{name} has not looked at it yet.")
    if ready.get("status") != "True":
        if ready.get("reason") == "ScalingDisabled":
            why = "The HPA does nothing while replicas is 0; scale it to 1 or more."
            return Found(False, Reason.SCALER_NOT_READY, why)
        return Found(False, Reason.SCALER_NOT_READY, f"{name} says: {ready.get('message') or ''}")
    return Found(True, Reason.AUTOSCALING, f"{name} follows demand.")


def _is(by_type: dict[Any, Any], name: str, status: str) -> bool:
    return (by_type.get(name) or {}).get("status") == status


def _without_tolerance(manifest: Any) -> Any:
    if isinstance(manifest, dict):
        return {
            key: _without_tolerance(each) for key, each in manifest.items() if key != "tolerance"
        }
    return (
        [_without_tolerance(each) for each in manifest] if isinstance(manifest, list) else manifest
    )

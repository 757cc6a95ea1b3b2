"""Carries out what a plan asks for: one call each, conditional on what the plan was made from."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.names import FIELD_MANAGER, SERVING_GATE, Annotation, Label, PodState
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.times import rfc3339
from mediafleet_common.kube.client import Api, Json
from mediafleet_common.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    GoneError,
    KubeError,
)
from mediafleet_common.kube.pace import Rank
from mediafleet_common.kube.paths import Target
from mediafleet_operator.core.fleet.actions import (
    Action,
    Create,
    Delete,
    Drain,
    Mark,
    OnPod,
    Rescale,
    SetGate,
    SetReplicas,
    Undrain,
)
from mediafleet_operator.core.fleet.model import PodView
from mediafleet_operator.kube import digest, paths
from mediafleet_operator.kube.snapshots import Snapshots
from mediafleet_operator.manifests.pods import eviction
from mediafleet_operator.manifests.pods.address import service_addr
from mediafleet_operator.manifests.pods.pod import Product, make_pod, pod_name
from mediafleet_operator.manifests.resource import Resource, Spec

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an action."""

    action: Action
    error: KubeError | None = None
    slot_taken: bool = False
    """A create failed since a pod that is not ours has the name."""


@dataclass(frozen=True, slots=True)
class Applier:
    """Applies plans; what the API server answers goes into the snapshots at once."""

    api: Api
    snapshots: Snapshots
    product: Product
    clock: Clock = SYSTEM

    async def apply(self, resource: Resource, actions: Sequence[Action]) -> list[Outcome]:
        """Carry out all actions side by side; a failed one does not hold up the others."""
        return list(await asyncio.gather(*(self._one(resource, action) for action in actions)))

    async def _one(self, resource: Resource, action: Action) -> Outcome:
        try:
            match action:
                case SetReplicas(replicas):
                    await self._set_replicas(resource, replicas)
                case Rescale(_, after):
                    await self._rescale(resource, after)
                case Create(slot):
                    return await self._create(resource, action, slot)
                case Delete(pod):
                    await self._delete(resource, pod, action.grace_seconds)
                case SetGate(pod):
                    await self._set_gate(resource, pod, open=action.open)
                case _:
                    written = marks(action, self.clock.unix(), resource.spec)
                    await self._patch(resource, action.pod, written, rank(action))
        except KubeError as error:
            if isinstance(error, GoneError | ConflictError) and isinstance(action, OnPod):
                await self._look_again(resource, action.pod)
            return Outcome(action, error)
        return Outcome(action)

    async def _look_again(self, resource: Resource, pod: PodView) -> None:
        """What we know of a pod is old: its event is late, or was never sent."""
        try:
            there = digest.pod(await self.api.get(self._target(resource, pod)))
        except GoneError:
            there = None
        except KubeError as error:
            _log.debug("%s: %s", pod.name, error)
            return
        if there is not None:
            self.snapshots.put_pod(there)
        if there is None or there.view.uid != pod.uid:
            self.snapshots.drop_pod(resource.key, pod.uid, pod.resource_version)

    async def _set_replicas(self, resource: Resource, replicas: int) -> None:
        body: Json = {
            "metadata": {"uid": resource.uid, "resourceVersion": resource.resource_version},
            "spec": {"replicas": replicas},
        }
        answer = await self.api.patch(paths.fleet(resource.key), body)
        self.snapshots.put_fleet(digest.resource(answer, resource.key.kind))

    async def _rescale(self, resource: Resource, replicas: int) -> None:
        """Write the scale subresource, if the resource still is as it was seen."""
        body: Json = {
            "metadata": {"uid": resource.uid, "resourceVersion": resource.resource_version},
            "spec": {"replicas": replicas},
        }
        await self.api.patch(paths.fleet(resource.key, "scale"), body, FIELD_MANAGER)
        # What was answered is a Scale; the next decision needs the resource with its version.
        there = await self.api.get(paths.fleet(resource.key))
        self.snapshots.put_fleet(digest.resource(there, resource.key.kind))

    async def _create(self, resource: Resource, action: Create, slot: int) -> Outcome:
        body = make_pod(resource, slot, self.product)
        target = paths.pods(resource.key.namespace)
        try:
            self._note(await self.api.create(target, body))
        except AlreadyExistsError as error:
            # Either our own, and its event is late, or somebody else's.
            name = pod_name(resource.key.name, slot)
            pod = digest.pod(await self.api.get(target.item(name)))
            ours = pod is not None and pod.key == resource.key
            if pod is not None and ours:
                self.snapshots.put_pod(pod)
            return Outcome(action, error, slot_taken=not ours)
        return Outcome(action)

    async def _delete(self, resource: Resource, pod: PodView, grace: int | None) -> None:
        target = self._target(resource, pod)
        answer = await self.api.delete(target, pod.uid, pod.resource_version, grace)
        if answer.get("kind") == "Pod" and "deletionTimestamp" in answer["metadata"]:
            self._note(answer)
        else:
            self.snapshots.drop_pod(resource.key, pod.uid, pod.resource_version)

    async def _patch(self, resource: Resource, pod: PodView, metadata: Json, rank: Rank) -> None:
        precondition = {"uid": pod.uid, "resourceVersion": pod.resource_version}
        body: Json = {"metadata": {**precondition, **metadata}}
        self._note(await self.api.patch(self._target(resource, pod), body, rank=rank))

    async def _set_gate(self, resource: Resource, pod: PodView, *, open: bool) -> None:  # noqa: A002
        # Conditional on the pod alone: kubelet writes the same status all the time.
        target = paths.pods(resource.key.namespace).item(pod.name, "status")
        body: Json = {
            "metadata": {"uid": pod.uid},
            "status": {"conditions": [gate_condition(open=open, now=self.clock.unix())]},
        }
        self._note(await self.api.merge_lists(target, body))

    def _target(self, resource: Resource, pod: PodView) -> Target:
        return paths.pods(resource.key.namespace).item(pod.name)

    def _note(self, answer: Json) -> None:
        if (pod := digest.pod(answer)) is not None:
            self.snapshots.put_pod(pod)


def rank(action: Mark | Drain | Undrain) -> Rank:
    """Which goes first: a drain keeps work away from a pod; that its label says ready keeps nobody
    waiting, but a pod without an address is listed nowhere, and one that is not marked busy is let
    go by its disruption budget."""
    if not isinstance(action, Mark):
        return Rank.URGENT
    if action.pod.unmarked and action.address is None and not action.busy:
        return Rank.PATIENT
    return Rank.PROMPT


def marks(action: Mark | Drain | Undrain, now: float, spec: Spec) -> Json:
    """What a merge patch writes into a pod's metadata."""
    labels: Json = {}
    annotations: Json = {}
    match action:
        case Drain(_, reason):
            labels[Label.STATE.value] = PodState.DRAINING.value
            annotations[Annotation.DRAIN_STARTED.value] = rfc3339(now, "milliseconds")
            annotations[Annotation.DRAIN_REASON.value] = reason.value
            annotations |= _refusal(action.pod, rfc3339(now + spec.settle_seconds, "milliseconds"))
        case Undrain():
            labels[Label.STATE.value] = PodState.READY.value
            annotations[Annotation.DRAIN_STARTED.value] = None
            annotations[Annotation.DRAIN_REASON.value] = None
            annotations |= _refusal(action.pod, None)
        case Mark(_, state, address, busy, busy_at):
            if busy_at is not None:
                annotations[Annotation.BUSY_AT.value] = rfc3339(busy_at, "milliseconds")
            if state is not None:
                labels[Label.STATE.value] = state.value
            if busy is not None:
                labels[Label.BUSY.value] = "true" if busy else None
                annotations |= eviction.for_autoscalers(spec, busy=busy)
            if address is not None:
                annotations[Annotation.ADDRESS.value] = address or None
                if not address or action.pod.service_addr is None:
                    # What a node was started with stays written: it learns of no other.
                    annotations[Annotation.SERVICE_ADDR.value] = service_addr(address) or None
    parts = {"labels": labels, "annotations": annotations}
    return {key: value for key, value in parts.items() if value}


def _refusal(pod: PodView, since: str | None) -> Json:
    """From when a pod's drain proxy refuses new work, if it has one."""
    return {Annotation.REFUSE_FROM.value: since} if pod.proxied else {}


def gate_condition(*, open: bool, now: float) -> Json:  # noqa: A002
    """The condition of a pod's serving gate."""
    return {
        "type": SERVING_GATE,
        "status": "True" if open else "False",
        "lastTransitionTime": rfc3339(now),
        "reason": "Serving" if open else "Draining",
        "message": "" if open else "It drains and is idle: no new connections.",
    }

"""Writes the status of a fleet, when it changed, and its Events."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mediafleet_common.api.base import Model
from mediafleet_common.api.events import EventToPost, Regarding, Reporter
from mediafleet_common.api.shared import FleetStatus
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.kube import events
from mediafleet_common.kube.client import Api, Json
from mediafleet_common.kube.errors import KubeError
from mediafleet_operator.core.fleet.state import NEVER, FleetState
from mediafleet_operator.core.status.events import under_way
from mediafleet_operator.kube import paths
from mediafleet_operator.manifests.resource import Resource

_log: Final = logging.getLogger(__name__)
EVENT_BURST: Final = 25
EVENT_REFILL_SECONDS: Final = 10.0


def significant(status: Mapping[str, Any]) -> Json:
    """A status without what moves with every job."""
    kept = {
        key: value
        for key, value in status.items()
        if key not in ("jobs", "sessions", "maxSessions", "inUse", "waiting", "missed", "models")
    }
    if isinstance(scaling := kept.get("autoscaling"), dict):
        moving = ("wanted", "why")
        kept["autoscaling"] = {key: each for key, each in scaling.items() if key not in moving}
    kept["pods"] = [
        {key: value for key, value in pod.items() if key != "load"}
        for pod in status.get("pods") or ()
    ]
    return kept


def rendered(status: Model | None) -> Json:
    """A status as JSON without what is not known."""
    if status is None:
        return {}
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def without(old: Mapping[str, Any], new: Mapping[str, Any]) -> Json:
    """The merge patch that makes a status of an older one: what is gone has to be said."""
    patch: Json = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        patch[key] = without(before, value) if both and before else value
    return patch


def asked(resource: Resource) -> bool:
    """Whether somebody has changed a resource, and its status does not tell of that yet."""
    return (
        resource.status is not None and resource.status.observed_generation != resource.generation
    )


@dataclass(slots=True)
class StatusWriter:
    """Writes statuses."""

    api: Api
    clock: Clock = SYSTEM
    load_only_seconds: float = 5.0
    """Between two writes in which only loads differ."""
    seconds: float = 0.0
    """Between any two writes, and before the first one of a new resource."""
    first_seconds: float = 0.0
    """Before that first one at most, while all it would say is that pods are still to start: they \
may be Ready by then, which saves a write."""
    change_seconds: float = 0.0
    """The same of a fleet that was changed, while its pods start or leave."""

    def due(self, resource: Resource, state: FleetState, status: FleetStatus) -> float | None:
        """In how many seconds a status is to be written; `None`: it says nothing new."""
        old, new = rendered(resource.status), rendered(status)
        if old == new:
            return None
        now = self.clock.monotonic()
        new_one = resource.status is not None and resource.status.observed_generation is None
        if new_one and state.status_written_at == NEVER:
            state.status_written_at = now
        changed = significant(old) != significant(new)
        at = state.status_written_at + (self.seconds if changed else self.load_only_seconds)
        # An HPA and KEDA read the selector of a fleet that they scale.
        if asked(resource) and resource.spec.autoscaling is None and under_way(status):
            if state.asked is None or state.asked[0] != resource.generation:
                state.asked = (resource.generation, now)
            seconds = self.first_seconds if new_one else self.change_seconds
            at = max(at, state.asked[1] + seconds)
        return max(at - now, 0.0)

    async def write(self, resource: Resource, state: FleetState, status: FleetStatus) -> Json:
        """Write a status; the resource as it then is.

        Raises:
            KubeError: it could not be written.
        """
        new = rendered(status)
        precondition = {"uid": resource.uid, "resourceVersion": resource.resource_version}
        patch = without(rendered(resource.status), new)
        body: Json = {"metadata": precondition, "status": patch}
        answer = await self.api.patch(paths.fleet(resource.key, "status"), body)
        state.status_written_at = self.clock.monotonic()
        return answer


@dataclass(slots=True)
class EventWriter:
    """Posts Events of events.k8s.io/v1; losing one is no harm, too many are dropped."""

    api: Api
    instance: str
    clock: Clock = SYSTEM

    async def post(self, resource: Resource, state: FleetState, to_post: EventToPost) -> None:
        """Post one Event about a fleet."""
        if not self._may(state):
            return
        key = resource.key
        regarding = Regarding(key.kind, key.namespace, key.name, resource.uid)
        try:
            reporter = Reporter("operator", self.instance)
            await events.post(self.api, regarding, to_post, reporter, self.clock)
        except KubeError as error:
            _log.warning("%s: Event %s not posted: %s", key, to_post.reason, error)

    def _may(self, state: FleetState) -> bool:
        """A bucket of EVENT_BURST, filled again one by one."""
        now = self.clock.monotonic()
        spent, at = state.events_spent or (0.0, now)
        spent = max(spent - (now - at) / EVENT_REFILL_SECONDS, 0.0)
        allowed = spent < EVENT_BURST
        state.events_spent = (spent + 1 if allowed else spent, now)
        return allowed

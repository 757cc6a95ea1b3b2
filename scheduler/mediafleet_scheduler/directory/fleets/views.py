"""The egress fleets as desks see them, each made anew only when it or its pods have changed. Pure.

A fleet that is as it was stays the same object, so that whoever compares two views looks at what
has changed alone.
"""

from __future__ import annotations

from typing import Final

from mediafleet_common.api.egress.placement import PlacementEngine
from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_scheduler.core.egress.views import EgressView, Fleet, Worker
from mediafleet_scheduler.directory.objects import (
    UNEXPECTED,
    Bounds,
    FleetFacts,
    PodFacts,
    fleet_of,
    worker_of,
)


class FleetViews:
    """All fleets and their pods by uid, what has changed of them, and the view.

    One that may not use its Redis is left out, and the operator says why; one that is being deleted
    takes no work any more, and one with engine native none of ours.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds: Final = bounds
        self._fleets: dict[str, FleetFacts] = {}
        self._pods: dict[str, PodFacts] = {}
        self._pods_of: dict[tuple[str, str], dict[str, PodFacts]] = {}
        """By namespace and uid of the owner."""
        self._workers: dict[str, tuple[FleetFacts, Worker]] = {}
        """By uid of the pod, with the fleet by which it was made."""
        self._made: dict[str, Fleet] = {}
        self._changed: dict[str, set[str]] = {}
        """Fleets to be made anew, by namespace."""
        self._view: EgressView | None = None
        """As it was last asked for; `None`: a fleet has changed since."""
        self.unmade: Final[dict[str, str]] = {}
        """Why a fleet cannot be made, by uid; what it was before stays in the view."""

    def put_fleet(self, uid: str, facts: FleetFacts | None) -> str | None:
        """A fleet as it is now, `None`: it is gone; the namespace, if something is to be made."""
        before = self._fleets.get(uid)
        if before == facts:
            return None
        if facts is not None:
            self._fleets[uid] = facts
            return self._note(facts.namespace, uid)
        del self._fleets[uid]
        return self._note(before.namespace, uid) if before else None

    def put_pod(self, uid: str, facts: PodFacts | None) -> str | None:
        """The same for a pod."""
        before = self._pods.get(uid)
        if before == facts:
            return None
        self._workers.pop(uid, None)
        touched = [self._drop(before)] if before else []
        if facts is not None:
            self._pods[uid] = facts
            if facts.owner_uid is not None:
                owner = (facts.namespace, facts.owner_uid)
                self._pods_of.setdefault(owner, {})[uid] = facts
            touched.append(self._note_owner(facts))
        return next(filter(None, touched), None)

    def _drop(self, pod: PodFacts) -> str | None:
        del self._pods[pod.uid]
        if pod.owner_uid is not None:
            owner = (pod.namespace, pod.owner_uid)
            del self._pods_of[owner][pod.uid]
            if not self._pods_of[owner]:
                del self._pods_of[owner]
        return self._note_owner(pod)

    def _note_owner(self, pod: PodFacts) -> str | None:
        fleet = self._fleets.get(pod.owner_uid or "")
        # Whoever makes pods may say that they belong to somebody else's fleet.
        if fleet is None or fleet.namespace != pod.namespace:
            return None
        return self._note(pod.namespace, fleet.uid)

    def _note(self, namespace: str, uid: str) -> str:
        self._changed.setdefault(namespace, set()).add(uid)
        return namespace

    def make_one(self, namespace: str) -> bool:
        """Make a fleet anew that has changed; whether there was one."""
        changed = self._changed.get(namespace)
        if not changed:
            return False
        uid = changed.pop()
        if not changed:
            del self._changed[namespace]
        try:
            made = self._make(uid)
        except UNEXPECTED as error:
            self.unmade[uid] = repr(error)
            return True
        self.unmade.pop(uid, None)
        if made == self._made.get(uid):
            return True
        self._view = None
        if made is None:
            del self._made[uid]
        else:
            self._made[uid] = made
        return True

    def _make(self, uid: str) -> Fleet | None:
        facts = self._fleets.get(uid)
        if facts is None or facts.deleting:
            return None
        redis = self._bounds.redises.of(facts.spec.redis, facts.namespace)
        if not isinstance(redis, RedisSpec):
            return None
        pods = self._pods_of.get((facts.namespace, uid), {}).values()
        ordered = sorted(pods, key=lambda pod: (pod.name, pod.uid))
        workers = tuple(self._worker(facts, pod) for pod in ordered)
        return fleet_of(facts, redis, workers, self._bounds.max_priority)

    def _worker(self, fleet: FleetFacts, pod: PodFacts) -> Worker:
        known = self._workers.get(pod.uid)
        if known is not None and known[0] is fleet:
            return known[1]
        worker = worker_of(fleet, pod)
        self._workers[pod.uid] = (fleet, worker)
        return worker

    def view(self) -> EgressView:
        """All of them, by key."""
        if self._view is None:
            made = sorted(self._made.values(), key=lambda fleet: (fleet.namespace, fleet.name))
            self._view = EgressView(
                tuple(each for each in made if each.placement.engine is PlacementEngine.SCHEDULER),
                tuple(each for each in made if each.placement.engine is PlacementEngine.NATIVE),
            )
        return self._view

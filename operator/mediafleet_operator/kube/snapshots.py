"""What is known of the cluster: the newest sighting of each pod, node, Service and fleet.

Filled by watch events, by the answers to our own writes (so that a plan never starts from before
them) and by full lists. An older sighting never replaces a newer one, and a list from before a
deletion does not bring the object back.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from mediafleet_common.api.names import Kind, PodState
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.redises.endpoints import Redises
from mediafleet_operator.core.fleet.model import (
    FleetKey,
    History,
    Memory,
    Observation,
    PodView,
)
from mediafleet_operator.kube.digest import Node, Pod, SlotService
from mediafleet_operator.manifests.overlay import InvalidTemplateError
from mediafleet_operator.manifests.pods.address import Located, Place, locate, service_addr
from mediafleet_operator.manifests.resource import (
    Resource,
    engine_conflict,
    fleet_spec,
    is_native,
    with_redis,
)


class Deleted:
    """Uids of deleted objects that a list which is on its way may still have."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}

    def __contains__(self, uid: str) -> bool:
        return uid in self._at

    def add(self, uid: str, version: str) -> None:
        """An object was deleted as of `version`, or later."""
        self._at[uid] = int(version)

    def prune(self, version: int, uids: set[str]) -> None:
        """A list as of `version` has these: it still has the object, or is newer, or older."""
        self._at = {uid: at for uid, at in self._at.items() if uid in uids or at > version}


@dataclass(slots=True)
class Snapshots:
    """The cluster as last seen."""

    redises: Redises = field(default_factory=Redises)
    """What the administrator declares."""
    nodes_known: bool = True
    """Whether we may see nodes; if not, none is ever called cordoned or lost."""
    fleets: dict[FleetKey, Resource] = field(default_factory=dict)
    pods: dict[FleetKey, dict[str, Pod]] = field(default_factory=dict)
    """By fleet, then by uid."""
    nodes: dict[str, Node] = field(default_factory=dict)
    services: dict[FleetKey, dict[int, SlotService]] = field(default_factory=dict)
    """Of slots, by pool and slot."""
    missing_nodes: dict[str, float] = field(default_factory=dict)
    """Nodes that pods are on and that were never seen, and since when."""
    _views: dict[str, tuple[PodView, tuple[object, ...], PodView]] = field(default_factory=dict)
    """By uid: a pod as it was digested, what is said beside that, and both as one view."""
    _deleted_fleets: Deleted = field(default_factory=Deleted)
    _deleted_pods: Deleted = field(default_factory=Deleted)
    _deleted_services: Deleted = field(default_factory=Deleted)

    def put_fleet(self, resource: Resource) -> bool:
        """Take note of a resource; whether that was news."""
        if resource.uid in self._deleted_fleets:
            return False
        known = self.fleets.get(resource.key)
        # One of the same name that was deleted before has the lower version, too.
        if known and not _newer(resource, known):
            return False
        self.fleets[resource.key] = with_redis(resource, self.redises)
        return True

    def drop_fleet(self, key: FleetKey, uid: str, version: str) -> None:
        """The resource is gone, as of a resourceVersion."""
        self._deleted_fleets.add(uid, version)
        known = self.fleets.get(key)
        if known and known.uid == uid:
            del self.fleets[key]

    def keep_only_fleets(self, kind: Kind, version: int, uids: set[str]) -> set[FleetKey]:
        """Drop the resources that a list as of `version` does not have; their keys."""
        gone = [
            (key, each)
            for key, each in self.fleets.items()
            if key.kind is kind and each.uid not in uids and int(each.resource_version) <= version
        ]
        for key, each in gone:
            self.drop_fleet(key, each.uid, each.resource_version)
        self._deleted_fleets.prune(version, uids)
        return {key for key, _ in gone}

    def native_fleets(self) -> list[FleetKey]:
        """The fleets without a desk."""
        return [key for key, each in self.fleets.items() if is_native(each)]

    def put_pod(self, pod: Pod) -> bool:
        """Take note of a pod; whether that was news."""
        if pod.view.uid in self._deleted_pods:
            return False
        pods = self.pods.setdefault(pod.key, {})
        known = pods.get(pod.view.uid)
        if known and not _newer(pod.view, known.view):
            return False
        if known and known.view.unmarked and pod.view.state is PodState.PENDING:
            # It was Ready: whatever kubelet's times say, it may have work.
            view = replace(pod.view, state=PodState.READY, unmarked=True)
            pod = replace(pod, view=view)
        pods[pod.view.uid] = pod
        return True

    def drop_pod(self, key: FleetKey, uid: str, version: str) -> None:
        """The pod is gone, as of a resourceVersion."""
        self._deleted_pods.add(uid, version)
        pods = self.pods.get(key)
        self._views.pop(uid, None)
        if pods is not None:
            pods.pop(uid, None)
            if not pods:
                del self.pods[key]

    def put_node(self, node: Node) -> bool:
        """Take note of a node; whether that was news."""
        self.missing_nodes.pop(node.name, None)
        if self.nodes.get(node.name) == node:
            return False
        self.nodes[node.name] = node
        return True

    def drop_node(self, name: str) -> None:
        """The node is gone."""
        self.nodes.pop(name, None)

    def put_service(self, service: SlotService) -> bool:
        """Take note of a slot's Service; whether that was news."""
        if service.uid in self._deleted_services:
            return False
        of_pool = self.services.setdefault(service.key, {})
        known = of_pool.get(service.slot)
        if known and not _newer(service, known):
            return False
        of_pool[service.slot] = service
        return True

    def drop_service(self, service: SlotService) -> None:
        """The Service is gone, as of its resourceVersion."""
        self._deleted_services.add(service.uid, service.resource_version)
        of_pool = self.services.get(service.key, {})
        known = of_pool.get(service.slot)
        if known and known.uid == service.uid:
            del of_pool[service.slot]
            if not of_pool:
                del self.services[service.key]

    def keep_only_services(self, version: int, uids: set[str]) -> set[FleetKey]:
        """Drop the Services that a list as of `version` does not have; their fleets."""
        gone = [
            each
            for of_pool in self.services.values()
            for each in of_pool.values()
            if each.uid not in uids and int(each.resource_version) <= version
        ]
        for service in gone:
            self.drop_service(service)
        self._deleted_services.prune(version, uids)
        return {each.key for each in gone}

    def keep_only_pods(self, version: int, uids: set[str]) -> set[FleetKey]:
        """Drop the pods that a list as of `version` does not have; their fleets."""
        gone = [
            (key, pod.view)
            for key, pods in self.pods.items()
            for pod in pods.values()
            if pod.view.uid not in uids and int(pod.view.resource_version) <= version
        ]
        for key, view in gone:
            self.drop_pod(key, view.uid, view.resource_version)
        self._deleted_pods.prune(version, uids)
        # Nodes come and go under other names, and most go before their pods.
        used = {pod.view.node for pods in self.pods.values() for pod in pods.values()}
        self.missing_nodes = {
            name: since for name, since in self.missing_nodes.items() if name in used
        }
        return {key for key, _ in gone}

    def keys_on_node(self, name: str) -> set[FleetKey]:
        """Fleets with a pod on a node."""
        return {
            key
            for key, pods in self.pods.items()
            if any(pod.view.node == name for pod in pods.values())
        }

    def observe(
        self,
        resource: Resource,
        template_problem: str | None,
        loads: dict[str, History],
        memory: Memory,
        now: float,
    ) -> Observation:
        """What a plan for a fleet is made from."""
        pods = self.pods.get(resource.key, {})
        views = tuple(self._view(pod, resource, now) for pod in pods.values())
        return Observation(
            fleet=fleet_spec(
                resource, template_problem, engine_conflict(resource, self.fleets.values())
            ),
            pods=views,
            loads={view.uid: loads[view.uid] for view in views if view.uid in loads},
            now=now,
            memory=memory,
        )

    def _view(self, pod: Pod, resource: Resource, now: float) -> PodView:
        view = pod.view
        located = self._locate(view, resource)
        learnt = view.service_addr if _learns_late(resource) else None
        empties, lost_since = self._node(pod, now)
        said: dict[str, Any] = {
            "ours": pod.owner_uid == resource.uid,
            "node_empties": empties,
            "node_lost_since": lost_since,
            # What kubelet last said of a container is no news once kubelet itself is silent.
            "work_running": None if lost_since is not None and not view.over else view.work_running,
            "address_wanted": located.url,
            "address_problem": located.problem,
            "service_addr": learnt,
            "moved": _moved(learnt, located),
        }
        # Of the hundreds of pods that a plan is made from few have changed since the last one.
        facts = tuple(said.values())
        known = self._views.get(view.uid)
        if known is None or known[0] is not view or known[1] != facts:
            known = self._views[view.uid] = (view, facts, replace(view, **said))
        return known[2]

    def _locate(self, view: PodView, resource: Resource) -> Located:
        spec = resource.spec
        if not isinstance(spec, OrchestratorPoolSpec):
            return Located()
        node = self.nodes.get(view.node or "")
        service = self.services.get(resource.key, {}).get(view.slot)
        place = Place(
            namespace=resource.key.namespace,
            name=view.name,
            slot=view.slot,
            pod_ip=view.ip,
            node=view.node,
            node_external=node.external_ip if node else None,
            node_internal=node.internal_ip if node else view.host_ip,
            nodes_known=self.nodes_known,
            node_port=service.node_port if service else None,
            ingress=service.ingress if service else None,
        )
        try:
            return locate(spec.address, place)
        except InvalidTemplateError:
            return Located()

    def _node(self, pod: Pod, now: float) -> tuple[bool, float | None]:
        """Whether a pod's node is being emptied, and since when it is silent."""
        name = pod.view.node
        if name is None or not self.nodes_known:
            return False, None
        node = self.nodes.get(name)
        if node is None:
            # Perhaps only its event is late: it counts as lost from when we first missed it.
            return False, self.missing_nodes.setdefault(name, now)
        empties = node.leaving or (node.cordoned and not pod.tolerates_cordon)
        return empties, node.silent_since


def _learns_late(resource: Resource) -> bool:
    """Whether nodes were started with what their annotation said, and not with a pod IP or name
    that Kubernetes fills in anew at each start."""
    spec = resource.spec
    return isinstance(spec, OrchestratorPoolSpec) and spec.address.late


def _moved(learnt: str | None, located: Located) -> bool:
    return learnt is not None and located.url is not None and service_addr(located.url) != learnt


def _newer(one: PodView | Resource | SlotService, other: PodView | Resource | SlotService) -> bool:
    # Since Kubernetes 1.35 resource versions are documented to be comparable as numbers.
    return int(one.resource_version) > int(other.resource_version)

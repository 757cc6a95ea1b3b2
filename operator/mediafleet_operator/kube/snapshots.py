"""What is known of the cluster: the last word on each pod, node and fleet.

Filled by watch events, by the answers to our own writes (so that a plan never starts from before
them) and by full lists. An older word never replaces a newer one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from mediafleet_common.api.orchestrator_pool import OrchestratorPoolSpec
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
from mediafleet_operator.manifests.resource import Resource, engine_conflict, fleet_spec, is_native


@dataclass(slots=True)
class Snapshots:
    """The cluster as last heard of."""

    nodes_known: bool = True
    """Whether we may see nodes; if not, none is ever called cordoned or lost."""
    fleets: dict[FleetKey, Resource] = field(default_factory=dict)
    pods: dict[FleetKey, dict[str, Pod]] = field(default_factory=dict)
    """By fleet, then by uid."""
    nodes: dict[str, Node] = field(default_factory=dict)
    services: dict[FleetKey, dict[int, SlotService]] = field(default_factory=dict)
    """Of slots, by pool and slot."""
    missing_nodes: dict[str, float] = field(default_factory=dict)
    """Nodes that pods are on and nobody has told us of, and when that was first noticed."""

    def put_fleet(self, resource: Resource) -> bool:
        """Take note of a resource; whether that was news."""
        known = self.fleets.get(resource.key)
        if known and known.uid == resource.uid and not _newer(resource, known):
            return False
        self.fleets[resource.key] = resource
        return True

    def drop_fleet(self, key: FleetKey, uid: str) -> None:
        """The resource is gone."""
        known = self.fleets.get(key)
        if known and known.uid == uid:
            del self.fleets[key]

    def native_fleets(self) -> list[FleetKey]:
        """The fleets without a desk."""
        return [key for key, each in self.fleets.items() if is_native(each)]

    def put_pod(self, pod: Pod) -> bool:
        """Take note of a pod; whether that was news."""
        pods = self.pods.setdefault(pod.key, {})
        known = pods.get(pod.view.uid)
        if known and not _newer(pod.view, known.view):
            return False
        pods[pod.view.uid] = pod
        return True

    def drop_pod(self, key: FleetKey, uid: str) -> None:
        """The pod is gone."""
        pods = self.pods.get(key)
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
        of_pool = self.services.setdefault(service.key, {})
        known = of_pool.get(service.slot)
        if known and known.uid == service.uid and not _newer(service, known):
            return False
        of_pool[service.slot] = service
        return True

    def drop_service(self, service: SlotService) -> None:
        """The Service is gone."""
        of_pool = self.services.get(service.key, {})
        known = of_pool.get(service.slot)
        if known and known.uid == service.uid:
            del of_pool[service.slot]

    def keep_only_services(self, uids: Iterable[str]) -> None:
        """Forget the Services that a full list does not have."""
        there = set(uids)
        for service in [each for all_ in self.services.values() for each in all_.values()]:
            if service.uid not in there:
                self.drop_service(service)

    def keep_only_pods(self, uids: Iterable[str]) -> set[FleetKey]:
        """Forget the pods that a full list does not have; the fleets that had them."""
        there = set(uids)
        gone = [(key, uid) for key, pods in self.pods.items() for uid in pods if uid not in there]
        for key, uid in gone:
            self.drop_pod(key, uid)
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
        cordoned, lost_since = self._node(view.node, now)
        return replace(
            view,
            ours=pod.owner_uid == resource.uid,
            node_cordoned=cordoned and not pod.tolerates_cordon,
            node_lost_since=lost_since,
            # What kubelet last said of a container is no news once kubelet itself is silent.
            work_running=None if lost_since is not None and not view.over else view.work_running,
            address_wanted=located.url,
            address_problem=located.problem,
            service_addr=learnt,
            moved=_moved(learnt, located),
        )

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

    def _node(self, name: str | None, now: float) -> tuple[bool, float | None]:
        if name is None or not self.nodes_known:
            return False, None
        node = self.nodes.get(name)
        if node is None:
            # Perhaps only its event is late: it counts as lost from when we first missed it.
            return False, self.missing_nodes.setdefault(name, now)
        return node.cordoned, node.silent_since


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

"""What is known of the cluster: the last word on each pod, node and fleet.

Filled by watch events, by the answers to our own writes (so that a plan never starts from before
them) and by full lists. An older word never replaces a newer one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from mediafleet_common.api.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_operator.core.model import FleetKey, History, Memory, Observation, PodView
from mediafleet_operator.kube.digesting import Node, Pod
from mediafleet_operator.manifests import address
from mediafleet_operator.manifests.overlay import InvalidTemplateError
from mediafleet_operator.manifests.resource import Resource, fleet_spec


@dataclass(slots=True)
class Snapshots:
    """The cluster as last heard of."""

    nodes_known: bool = True
    """Whether we may see nodes; if not, none is ever called cordoned or lost."""
    fleets: dict[FleetKey, Resource] = field(default_factory=dict)
    pods: dict[FleetKey, dict[str, Pod]] = field(default_factory=dict)
    """By fleet, then by uid."""
    nodes: dict[str, Node] = field(default_factory=dict)
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
            fleet=fleet_spec(resource, template_problem),
            pods=views,
            loads={view.uid: loads[view.uid] for view in views if view.uid in loads},
            now=now,
            memory=memory,
        )

    def _view(self, pod: Pod, resource: Resource, now: float) -> PodView:
        view = pod.view
        cordoned, lost_since = self._node(view.node, now)
        return replace(
            view,
            ours=pod.owner_uid == resource.uid,
            node_cordoned=cordoned and not pod.tolerates_cordon,
            node_lost_since=lost_since,
            # What kubelet last said of a container is no news once kubelet itself is silent.
            work_running=None if lost_since is not None and not view.over else view.work_running,
            address_wanted=_address(view, resource),
        )

    def _node(self, name: str | None, now: float) -> tuple[bool, float | None]:
        if name is None or not self.nodes_known:
            return False, None
        node = self.nodes.get(name)
        if node is None:
            # Perhaps only its event is late: it counts as lost from when we first missed it.
            return False, self.missing_nodes.setdefault(name, now)
        return node.cordoned, node.silent_since


def _address(view: PodView, resource: Resource) -> str | None:
    spec = resource.spec
    if not isinstance(spec, OrchestratorPoolSpec):
        return None
    key = resource.key
    try:
        return address.url(
            spec.address, key.namespace, view.name, view.slot, host=view.ip, node=view.node
        )
    except InvalidTemplateError:
        return None


def _newer(one: PodView | Resource, other: PodView | Resource) -> bool:
    # Since Kubernetes 1.35 resource versions are documented to be comparable as numbers.
    return int(one.resource_version) > int(other.resource_version)

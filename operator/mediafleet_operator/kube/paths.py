"""Where objects lie on the API server."""

from __future__ import annotations

from typing import Final

from mediafleet_common.api.names import FLEET_KINDS, GROUP, PLURALS, VERSION, Kind, Label
from mediafleet_common.kube.paths import Collection, Target
from mediafleet_operator.core.fleet.model import FleetKey

_PLURALS: Final = {
    "ServiceAccount": "serviceaccounts",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "ConfigMap": "configmaps",
    "Service": "services",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Deployment": "deployments",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "ScaledObject": "scaledobjects",
}


RESOURCES: Final = {kind: Collection(GROUP, VERSION, PLURALS[kind]) for kind in Kind}
FLEETS: Final = {kind: RESOURCES[kind] for kind in FLEET_KINDS}
COMMUNITY: Final = RESOURCES[Kind.COMMUNITY_METRICS]
PODS: Final = Collection("", "v1", "pods", Label.KIND.value)
SERVICES: Final = Collection("", "v1", "services", Label.SLOT.value)
NODES: Final = Collection("", "v1", "nodes", namespaced=False, optional=True)
FOLLOWED: Final = (NODES, *FLEETS.values(), PODS, SERVICES)
"""What the operator watches."""


def collection(api_version: str, plural: str, namespace: str | None) -> Target:
    """A collection, of one namespace or of all."""
    group, _, version = api_version.rpartition("/")
    return Collection(group, version, plural).inside(namespace)


def pods(namespace: str | None) -> Target:
    """All pods of a namespace, or of all."""
    return PODS.inside(namespace)


def services(namespace: str | None) -> Target:
    """All Services of a namespace, or of all."""
    return SERVICES.inside(namespace)


def fleets(kind: Kind, namespace: str | None) -> Target:
    """All resources of a kind."""
    return RESOURCES[kind].inside(namespace)


def fleet(key: FleetKey, part: str = "") -> Target:
    """One resource."""
    return fleets(key.kind, key.namespace).item(key.name, part)


def of_manifest(manifest: dict[str, object], namespace: str, name: str) -> Target:
    """Where an object that we make lies."""
    plural = _PLURALS[str(manifest["kind"])]
    return collection(str(manifest["apiVersion"]), plural, namespace).item(name)

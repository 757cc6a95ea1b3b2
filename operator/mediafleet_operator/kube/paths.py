"""Where objects lie on the API server."""

from __future__ import annotations

from typing import Final

from mediafleet_common.api.names import GROUP, PLURALS, VERSION, Kind
from mediafleet_common.kube.client import Target
from mediafleet_operator.core.fleet.model import FleetKey

_PLURALS: Final = {
    "ServiceAccount": "serviceaccounts",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Service": "services",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Deployment": "deployments",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "ScaledObject": "scaledobjects",
}


def collection(api_version: str, plural: str, namespace: str | None) -> Target:
    """A collection, of one namespace or of all."""
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    inside = f"/namespaces/{namespace}" if namespace else ""
    return Target(f"{root}{inside}/{plural}", plural)


def item(target: Target, name: str, part: str = "") -> Target:
    """One object of a collection, or a part of it such as `status`."""
    tail = f"/{part}" if part else ""
    return Target(f"{target.path}/{name}{tail}", f"{target.resource}{tail}")


def pods(namespace: str | None) -> Target:
    """All pods of a namespace, or of all."""
    return collection("v1", "pods", namespace)


def services(namespace: str | None) -> Target:
    """All Services of a namespace, or of all."""
    return collection("v1", "services", namespace)


def nodes() -> Target:
    """All nodes."""
    return collection("v1", "nodes", None)


def fleets(kind: Kind, namespace: str | None) -> Target:
    """All resources of a kind."""
    return collection(f"{GROUP}/{VERSION}", PLURALS[kind], namespace)


def fleet(key: FleetKey, part: str = "") -> Target:
    """One resource."""
    return item(fleets(key.kind, key.namespace), key.name, part)


def of_manifest(manifest: dict[str, object], namespace: str, name: str) -> Target:
    """Where an object that we make lies."""
    plural = _PLURALS[str(manifest["kind"])]
    return item(collection(str(manifest["apiVersion"]), plural, namespace), name)

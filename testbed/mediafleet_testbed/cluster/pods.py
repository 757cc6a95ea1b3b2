"""Pod manifests that a namespace at level `restricted` admits, for the node's own images."""

from __future__ import annotations

from typing import Any

POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def container(name: str, image: str, *command: str, **more: Any) -> dict[str, Any]:
    """A container of a local image, locked down; `more` are further fields of a container."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "Never",
        **({"command": list(command)} if command else {}),
        "securityContext": CONTAINER_SECURITY,
        **more,
    }


def pod(
    name: str,
    *containers: dict[str, Any],
    labels: dict[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A pod that ends at once when told to; `more` are further fields of its spec."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {"app": name}},
        "spec": {
            "securityContext": POD_SECURITY,
            "terminationGracePeriodSeconds": 1,
            "containers": list(containers),
            **more,
        },
    }


def service(name: str, port: int, target_port: int, **selector: str) -> dict[str, Any]:
    """A Service over the pods of those labels (`app=name` when none is given)."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "selector": selector or {"app": name},
            "ports": [{"port": port, "targetPort": target_port}],
        },
    }

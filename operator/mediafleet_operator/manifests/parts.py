"""Small parts that several manifests have."""

from __future__ import annotations

from typing import Any

from mediafleet_operator.manifests.overlay import Manifest


def container(name: str, image: str, pull_policy: str | None, **more: Any) -> Manifest:
    """A container as the restricted Pod Security level wants it; `more` are further fields."""
    return {
        "name": name,
        "image": image,
        **({"imagePullPolicy": pull_policy} if pull_policy else {}),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # What it says last, that is why it ended, becomes part of the pod's status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **more,
    }


def from_field(name: str, path: str) -> Manifest:
    """An environment variable that Kubernetes fills from the pod."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def identity() -> list[Manifest]:
    """Environment that says which pod a container is in."""
    return [
        from_field("POD_NAME", "metadata.name"),
        from_field("POD_NAMESPACE", "metadata.namespace"),
        from_field("POD_UID", "metadata.uid"),
    ]


def mount(name: str, path: str, *, read_only: bool = False) -> Manifest:
    """Where a container sees a volume."""
    return {"name": name, "mountPath": path, **({"readOnly": True} if read_only else {})}


def takes_connections(port: int) -> Manifest:
    """A readiness probe: something listens on the port."""
    return {
        "tcpSocket": {"port": port},
        "periodSeconds": 2,
        "timeoutSeconds": 2,
        "failureThreshold": 3,
    }

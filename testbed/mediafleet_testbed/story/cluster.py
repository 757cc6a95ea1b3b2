"""The few things that the story asks of Kubernetes, as kubectl would."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from kubernetes.aio import client, config

from mediafleet_common.api.names import GROUP, PLURALS, VERSION, Annotation, Kind, Label


@dataclass(frozen=True, slots=True)
class SeenPod:
    """One pod of a fleet."""

    name: str
    uid: str
    ip: str | None
    state: str
    ready: bool
    deleting: bool
    address: str | None


class Cluster:
    """Reads and changes one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    async def __aenter__(self) -> Self:
        config.load_incluster_config()
        self._api = client.ApiClient()
        self._custom = client.CustomObjectsApi(self._api)
        self._core = client.CoreV1Api(self._api)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._api.close()

    async def patch(self, kind: Kind, name: str, spec: dict[str, Any]) -> None:
        """Merge into the spec of a resource."""
        await self._custom.patch_namespaced_custom_object(
            GROUP,
            VERSION,
            self.namespace,
            PLURALS[kind],
            name,
            {"spec": spec},
            _content_type="application/merge-patch+json",
            _request_timeout=10,
        )

    async def scale(self, kind: Kind, name: str, replicas: int) -> None:
        """What `kubectl scale` does: write the scale subresource."""
        await self._custom.patch_namespaced_custom_object_scale(
            GROUP,
            VERSION,
            self.namespace,
            PLURALS[kind],
            name,
            {"spec": {"replicas": replicas}},
            _content_type="application/merge-patch+json",
            _request_timeout=10,
        )

    async def status(self, kind: Kind, name: str) -> dict[str, Any]:
        """The status of a resource; empty before the operator has written one."""
        resource = await self._custom.get_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURALS[kind], name, _request_timeout=10
        )
        return dict(resource.get("status") or {})

    async def pods(self, fleet: str) -> list[SeenPod]:
        """The pods of a fleet, by name."""
        found = await self._core.list_namespaced_pod(
            self.namespace, label_selector=f"{Label.FLEET}={fleet}", _request_timeout=10
        )
        return sorted((_seen(pod) for pod in found.items), key=lambda pod: pod.name)


def _seen(pod: Any) -> SeenPod:
    conditions = {each.type: each.status for each in pod.status.conditions or []}
    return SeenPod(
        name=pod.metadata.name,
        uid=pod.metadata.uid,
        ip=pod.status.pod_ip,
        state=pod.metadata.labels.get(Label.STATE, ""),
        ready=conditions.get("Ready") == "True",
        deleting=pod.metadata.deletion_timestamp is not None,
        address=(pod.metadata.annotations or {}).get(Annotation.ADDRESS),
    )

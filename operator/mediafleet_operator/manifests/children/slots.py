"""What a slot of a pool has beside its pod, and keeps while pods come and go: its Service, and its
claim of a volume."""

from __future__ import annotations

from collections.abc import Iterable

from mediafleet_common.api.names import KIND_LABELS, Label
from mediafleet_common.api.pool.address import OF_A_SERVICE, AddressType
from mediafleet_common.api.pool.on_chain import OnChainVolume
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_operator.manifests.overlay import Manifest
from mediafleet_operator.manifests.pods.on_chain import claim_name
from mediafleet_operator.manifests.pods.pod import app_labels
from mediafleet_operator.manifests.resource import Resource


def service_name(pool: str, slot: int) -> str:
    """Name of a slot's Service; the pool's own name is its advertiser's."""
    return f"{pool}-slot-{slot}"


def claims(resource: Resource, slots: Iterable[int]) -> list[Manifest]:
    """The claims of the slots, none where the pool has no volumes.

    They have no owner, so that they outlive the pool: there may be money in them.
    """
    spec = resource.spec
    chain = spec.on_chain if isinstance(spec, OrchestratorPoolSpec) else None
    if chain is None or chain.volume is None:
        return []
    return [_claim(resource, chain.volume, slot) for slot in sorted(slots)]


def _claim(resource: Resource, volume: OnChainVolume, slot: int) -> Manifest:
    kind = KIND_LABELS[resource.key.kind].value
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": volume.size}},
    }
    if volume.storage_class is not None:
        spec["storageClassName"] = volume.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": claim_name(resource.key.name, slot),
            "namespace": resource.key.namespace,
            "labels": {
                **app_labels(resource, kind),
                Label.FLEET.value: resource.key.name,
                Label.SLOT.value: str(slot),
            },
        },
        "spec": spec,
    }


def services(resource: Resource, slots: Iterable[int]) -> list[Manifest]:
    """The Services of the slots, none where the pool's address needs none."""
    spec = resource.spec
    if not isinstance(spec, OrchestratorPoolSpec) or spec.address.type not in OF_A_SERVICE:
        return []
    return [_service(resource, spec, slot) for slot in sorted(slots) if _has_port(spec, slot)]


def _has_port(spec: OrchestratorPoolSpec, slot: int) -> bool:
    ports = spec.address.port_range
    return spec.address.type is not AddressType.NODE_PORT or ports is None or slot < ports.size


def _service(resource: Resource, spec: OrchestratorPoolSpec, slot: int) -> Manifest:
    address = spec.address
    kind = KIND_LABELS[resource.key.kind].value
    chosen = {
        Label.KIND.value: kind,
        Label.FLEET.value: resource.key.name,
        Label.SLOT.value: str(slot),
    }
    port = {
        "name": "orchestrator",
        "port": address.port,
        "targetPort": address.port,
        "protocol": "TCP",
    }
    own: Manifest
    if address.type is AddressType.LOAD_BALANCER:
        own = {"type": "LoadBalancer"}
        if address.service.load_balancer_class is not None:
            own["loadBalancerClass"] = address.service.load_balancer_class
    else:
        # The address is that of the pod's own Kubernetes node: no second hop, and the node sees
        # who calls.
        own = {"type": "NodePort", "externalTrafficPolicy": "Local"}
        if address.port_range is not None:
            port["nodePort"] = address.port_range.first + slot
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": service_name(resource.key.name, slot),
            "namespace": resource.key.namespace,
            "labels": {**app_labels(resource, kind), **chosen},
            "annotations": dict(address.service.annotations),
            "ownerReferences": [resource.owner],
        },
        "spec": {"selector": chosen, "ports": [port], **own},
    }

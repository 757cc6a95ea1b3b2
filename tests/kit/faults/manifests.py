"""The resources of workloads. kwok plays the kubelet of their pods."""

from __future__ import annotations

from typing import Any, Final

from tests.kit.faults.world import NAME
from tests.kit.fleets.manifests import (
    SETTLE_SECONDS,
    ai_worker_pool,
    egress_fleet,
    orchestrator_pool,
)

from mediafleet_common.api.names import API_VERSION, Kind
from mediafleet_testbed.cluster.kwok import ON_IT


def manifest(kind: Kind, replicas: int, revision: int = 0, **spec: Any) -> dict[str, Any]:
    """A fleet of pods that kwok plays."""
    spec = {"drain": {"settle": f"{SETTLE_SECONDS / 2:g}s", "timeout": "10m"}, **spec}
    if kind is Kind.EGRESS_FLEET:
        made = egress_fleet(NAME, "redis:6379", replicas, **spec)
    elif kind is Kind.AI_WORKER_POOL:
        made = ai_worker_pool(NAME, replicas, **spec)
    else:
        made = orchestrator_pool(NAME, replicas, advertise={"replicas": 0}, **spec)
    made["spec"]["template"] |= template(made, revision)
    return made


def template(made: dict[str, Any], revision: int, **more: Any) -> dict[str, Any]:
    """The template of a revision."""
    spec = {**made["spec"]["template"]["spec"], **ON_IT, **more}
    return {"metadata": {"labels": {"revision": str(revision)}}, "spec": spec}


def scaled(kind: Kind) -> dict[str, Any]:
    """A fleet whose count follows the demand; a pod takes one job, and one is kept free."""
    policy = {"max": 4, "behavior": {"scaleDown": {"stabilization": "1s"}}}
    sessions: dict[str, Any] = {"sessions": {"max": 1}} if kind is Kind.ORCHESTRATOR_POOL else {}
    return manifest(kind, 1, autoscaling=policy, **sessions)


def sharing(region: str) -> dict[str, Any]:
    """A CommunityMetrics."""
    return {
        "apiVersion": API_VERSION,
        "kind": Kind.COMMUNITY_METRICS.value,
        "metadata": {"name": NAME},
        "spec": {"pool": "any", "region": region},
    }


REPORTER: Final = {
    f"{each}/{NAME}-reporter"
    for each in ("serviceaccounts", "roles", "rolebindings", "configmaps", "services")
} | {f"deployments/{NAME}-reporter"}

"""The ScaledObject or HorizontalPodAutoscaler of a fleet whose engine is `keda` or `hpa`.

Both work on the resource's scale subresource, without a tolerance (an HPA's own is 10 %, by which
20 pods never become 21) and with one step up to the maximum, so that one sync reaches the wanted
count. Annotations by which people pause KEDA are passed on from the resource; those on the object
itself are theirs.

Fields: kubernetes staging/src/k8s.io/api/autoscaling/v2/types.go and kedacore/keda
apis/keda/v1alpha1/scaledobject_types.go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from mediafleet_common.api.durations import seconds
from mediafleet_common.api.names import API_VERSION, KIND_LABELS, Kind, Port
from mediafleet_common.api.scaling.autoscaling import Autoscaling, Engine, HpaSource, Metric
from mediafleet_operator.core.autoscaling.model import Limits, policy
from mediafleet_operator.core.autoscaling.schedule import Bounds
from mediafleet_operator.manifests.overlay import Manifest
from mediafleet_operator.manifests.pods.pod import app_labels
from mediafleet_operator.manifests.resource import Resource

KEDA_API: Final = "keda.sh/v1alpha1"
HPA_API: Final = "autoscaling/v2"
POLL_SECONDS: Final = 15
"""How often KEDA asks whether there is demand; that there is some is pushed to it at once."""
FAILURES: Final = 3
"""So many errors of a scaler in a row, and KEDA falls back."""
MAX_WINDOW_SECONDS: Final = 3600
"""The longest stabilisation that an HPA takes."""
TRIGGER: Final = "mediafleet"
"""Name of the trigger in a ScaledObject, or its beginning."""
TYPED: Final = (Metric.SLOTS, Metric.QUEUE)
"""Metrics that look at one type of work."""


@dataclass(frozen=True, slots=True)
class Keda:
    """How KEDA reaches the desks."""

    egress_scaler: str | None = None
    """HOST:PORT of the egress desk's scaler; `None`: it has none."""
    authentication: tuple[str, str] | None = None
    """Kind and name of what holds KEDA's certificate; `None`: the scaler speaks plaintext."""
    broker_scaler: str | None = None
    """HOST:PORT of the broker's scaler; `None`: it has none."""

    def address(self, resource: Resource) -> str | None:
        """Where the scaler of a fleet's desk listens."""
        key = resource.key
        if key.kind is Kind.EGRESS_FLEET:
            return self.egress_scaler
        if key.kind is Kind.AI_WORKER_POOL:
            return self.broker_scaler
        return f"{key.name}.{key.namespace}.svc:{Port.SCALER}"


def scaler_name(resource: Resource) -> str:
    """Name of either object: fleets and pools may share a name."""
    return f"{resource.key.name}-{KIND_LABELS[resource.key.kind].value}"


def hpa(
    resource: Resource, asked: Autoscaling, bounds: Bounds, *, tolerance: bool = True
) -> Manifest:
    """The HPA to apply. `tolerance`: whether the cluster knows the field (since 1.33)."""
    return _object(
        resource,
        HPA_API,
        "HorizontalPodAutoscaler",
        {
            "scaleTargetRef": _target(resource),
            "minReplicas": max(bounds.min, 1),
            "maxReplicas": bounds.max,
            "behavior": _behavior(asked, tolerance=tolerance),
            "metrics": [_metric(resource, asked)],
        },
    )


def scaled_object(
    resource: Resource,
    asked: Autoscaling,
    bounds: Bounds,
    keda: Keda,
    *,
    tolerance: bool = True,
    certificate: str | None = None,
) -> Manifest:
    """The ScaledObject to apply. `certificate`: which one the desk's scaler shows, as it says."""
    trigger: Manifest = {
        "type": "external-push",
        "name": _trigger_name(certificate),
        "metricType": "AverageValue",
        "metadata": _metadata(resource, asked, keda),
    }
    if keda.authentication is not None:
        kind, name = keda.authentication
        trigger["authenticationRef"] = {"kind": kind, "name": name}
    behavior = _behavior(asked, tolerance=tolerance)
    made = _object(
        resource,
        KEDA_API,
        "ScaledObject",
        {
            "scaleTargetRef": _target(resource),
            "pollingInterval": POLL_SECONDS,
            "cooldownPeriod": math.ceil(seconds(asked.cool_down)),
            "minReplicaCount": bounds.min,
            "maxReplicaCount": bounds.max,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
            # With 0 here KEDA goes to zero when the scaler fails, whatever the behaviour.
            "fallback": {
                "failureThreshold": FAILURES,
                "behavior": "currentReplicasIfHigher",
                "replicas": max(bounds.min, 1),
            },
            "triggers": [trigger],
        },
    )
    if resource.keda_pause:
        made["metadata"]["annotations"] = dict(resource.keda_pause)
    return made


def keep_trigger_name(made: Manifest, live: Manifest) -> Manifest:
    """What was made while the certificate was not known, with the name that the trigger has: an
    operator that starts anew has KEDA read nothing again."""
    (trigger,) = made["spec"]["triggers"]
    names = [each.get("name") or "" for each in (live.get("spec") or {}).get("triggers") or ()]
    if trigger["name"] != TRIGGER or len(names) != 1 or not names[0].startswith(f"{TRIGGER}-"):
        return made
    return {**made, "spec": {**made["spec"], "triggers": [{**trigger, "name": names[0]}]}}


def _trigger_name(certificate: str | None) -> str:
    """Another one for each certificate: KEDA reads Secrets once for each generation of a
    ScaledObject, and its push stream goes on with what it then read (kedacore/keda
    pkg/scaling/scale_handler.go). A key of the metadata would do the same, but scalers of earlier
    releases refuse what they do not know."""
    return TRIGGER if certificate is None else f"{TRIGGER}-{certificate.rpartition('-')[2]}"


def quantity(number: float) -> str:
    """A number as Kubernetes writes it back, so that what was applied is found again."""
    thousandths = round(number * 1000)
    return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"


def _metadata(resource: Resource, asked: Autoscaling, keda: Keda) -> dict[str, str]:
    """What the desk's scaler reads; all values are strings."""
    key, metric, target = resource.key, asked.metric, asked.target
    metadata = {
        "scalerAddress": keda.address(resource) or "",
        "fleet": key.name,
        "namespace": key.namespace,
        "metric": metric.value,
    }
    if keda.authentication is not None:
        metadata["enableTLS"] = "true"
    if metric is Metric.SLOTS and target is None:
        target = float(max(asked.buffer.slots, 1))
    if target is not None:
        metadata["target"] = f"{round(target, 3):g}"
    if metric in TYPED and asked.buffer.type is not None:
        metadata["type"] = asked.buffer.type.value
    return metadata


def _metric(resource: Resource, asked: Autoscaling) -> Manifest:
    given = asked.hpa
    labels = dict(given.match_labels)
    if not labels and given.ours:
        key = resource.key
        kind = KIND_LABELS[key.kind].value
        labels = {"kind": kind, "fleet_namespace": key.namespace, "fleet_name": key.name}
    metric: Manifest = {"name": given.name}
    if labels:
        metric["selector"] = {"matchLabels": labels}
    target = {"type": "AverageValue", "averageValue": quantity(asked.target or 1.0)}
    if given.type is HpaSource.PODS:
        return {"type": "Pods", "pods": {"metric": metric, "target": target}}
    return {"type": "External", "external": {"metric": metric, "target": target}}


def _behavior(asked: Autoscaling, *, tolerance: bool) -> Manifest:
    limits = policy(asked)
    return {
        "scaleUp": _pace(limits.up, limits.max, tolerance=tolerance),
        "scaleDown": _pace(limits.down, limits.max, tolerance=tolerance),
    }


def _pace(limits: Limits, most: int, *, tolerance: bool) -> Manifest:
    per_minute = limits.per_minute
    pods = {"type": "Pods", "value": most, "periodSeconds": 15}
    if per_minute is not None:
        pods = {"type": "Pods", "value": per_minute, "periodSeconds": 60}
    pace: Manifest = {
        "stabilizationWindowSeconds": min(math.ceil(limits.window_seconds), MAX_WINDOW_SECONDS),
        "selectPolicy": "Max",
        "policies": [pods],
    }
    return {**pace, "tolerance": "0"} if tolerance else pace


def _target(resource: Resource) -> dict[str, str]:
    return {
        "apiVersion": API_VERSION,
        "kind": resource.key.kind.value,
        "name": resource.key.name,
    }


def _object(resource: Resource, api_version: str, kind: str, spec: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": scaler_name(resource),
            "namespace": resource.key.namespace,
            "labels": app_labels(resource, "autoscaler"),
            "ownerReferences": [resource.owner],
        },
        "spec": spec,
    }


KINDS: Final = {
    Engine.KEDA: (KEDA_API, "ScaledObject"),
    Engine.HPA: (HPA_API, "HorizontalPodAutoscaler"),
}
"""What each engine that is not ours works by."""

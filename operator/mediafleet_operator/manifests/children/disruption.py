"""The disruption budget of a fleet: a node drain waits for busy pods and takes idle ones.

`maxUnavailable: 0` over the busy pods alone: a numeric minAvailable over all of them would count
an idle pod as good as a busy one, and evict the busy one.
"""

from __future__ import annotations

from mediafleet_common.api.names import KIND_LABELS, Label
from mediafleet_operator.manifests.overlay import Manifest
from mediafleet_operator.manifests.pods.pod import app_labels
from mediafleet_operator.manifests.resource import Resource


def budget(resource: Resource) -> Manifest:
    """The PodDisruptionBudget to apply."""
    kind = KIND_LABELS[resource.key.kind].value
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": f"{resource.key.name}-busy",
            "namespace": resource.key.namespace,
            "labels": app_labels(resource, kind),
            "ownerReferences": [resource.owner],
        },
        "spec": {
            "maxUnavailable": 0,
            "selector": {
                "matchLabels": {
                    Label.KIND.value: kind,
                    Label.FLEET.value: resource.key.name,
                    Label.BUSY.value: "true",
                }
            },
        },
    }

"""What is left of an object is all that anybody here reads."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from mediafleet_common.kube.slim import slim
from mediafleet_operator.kube import digest
from mediafleet_scheduler.directory.objects import pod_facts

POD: Final[dict[str, Any]] = {
    "metadata": {
        "name": "rec-3",
        "namespace": "media",
        "uid": "u-3",
        "resourceVersion": "77",
        "creationTimestamp": "2026-11-20T10:00:00Z",
        "labels": {
            "mediafleet.dev/kind": "egress",
            "mediafleet.dev/fleet": "rec",
            "mediafleet.dev/slot": "3",
            "mediafleet.dev/state": "draining",
        },
        "annotations": {"mediafleet.dev/drain-started": "2026-11-20T11:00:00.000Z"},
        "ownerReferences": [
            {"apiVersion": "mediafleet.dev/v1alpha1", "uid": "f", "controller": True}
        ],
        "managedFields": [{"manager": "mediafleet", "fieldsV1": {"f:metadata": {}}}] * 5,
    },
    "spec": {
        "nodeName": "n1",
        "serviceAccountName": "default",
        "tolerations": [
            {
                "key": "node.kubernetes.io/unschedulable",
                "operator": "Exists",
                "effect": "NoSchedule",
            }
        ],
        "readinessGates": [{"conditionType": "mediafleet.dev/serving"}],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "initContainers": [{"name": "config", "image": "i", "command": ["x"] * 9}],
        "containers": [
            {
                "name": "egress",
                "image": "i",
                "env": [{"name": "A", "value": "b"}] * 20,
                "livenessProbe": {"httpGet": {"path": "/"}},
                "resources": {"limits": {"cpu": "4", "memory": "2Gi"}},
            },
            {"name": "drain-proxy", "image": "p"},
        ],
    },
    "status": {
        "phase": "Running",
        "podIP": "10.0.0.3",
        "hostIP": "10.1.0.1",
        "conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "mediafleet.dev/serving", "status": "False"},
        ],
        "initContainerStatuses": [
            {"name": "config", "state": {"terminated": {"exitCode": 0, "message": "{}"}}}
        ],
        "containerStatuses": [
            {"name": "egress", "ready": True, "restartCount": 1, "state": {"running": {}}}
        ],
    },
}


def test_operator_and_desks_read_the_same_of_a_pod_that_was_made_smaller() -> None:
    small = slim("pods", deepcopy(POD))
    assert digest.pod(small) == digest.pod(deepcopy(POD))
    assert pod_facts(small) == pod_facts(deepcopy(POD))
    assert len(str(small)) < len(str(POD)) / 2


def test_of_other_objects_only_who_wrote_which_field_is_left_out() -> None:
    fleet = {"metadata": {"name": "a", "managedFields": [1]}, "spec": {"template": {"spec": {}}}}
    assert slim("egressfleets", deepcopy(fleet)) == {
        "metadata": {"name": "a"},
        "spec": {"template": {"spec": {}}},
    }


def test_what_is_no_pod_stays_what_it_is() -> None:
    for odd in ({}, {"metadata": None}, {"spec": 3}, {"spec": {"containers": "x"}}):
        slim("pods", deepcopy(odd))
    assert slim("pods", {"spec": {"containers": [3, {"name": "a"}]}}) == {
        "spec": {"containers": [{"name": "a"}]}
    }

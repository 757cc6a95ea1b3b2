"""The rights that the chart grants, compared with a table of what each part does.

That nothing is done without a right is held by the API server in memory, which refuses it in every
test of the operator (`tests/kit/operator/kube_server.py`).
"""

from __future__ import annotations

from typing import Final

import pytest
from tests.kit.operator.rights import Right, granted, needed

MEDIAFLEET: Final = "mediafleet.dev"
RBAC: Final = "rbac.authorization.k8s.io"
FLEETS: Final = ("egressfleets", "orchestratorpools", "aiworkerpools")

USED: Final[dict[str, dict[tuple[str, str], dict[str, str]]]] = {
    "operator": {
        **{
            (MEDIAFLEET, each): {
                "list": "kube/watch.py",
                "watch": "kube/watch.py",
                "get": "after a conflict: kube/apply.py",
                "patch": "replicas, once when absent: kube/apply.py",
            }
            for each in FLEETS
        },
        **{(MEDIAFLEET, f"{each}/status"): {"patch": "kube/report.py"} for each in FLEETS},
        **{(MEDIAFLEET, f"{each}/scale"): {"patch": "engine builtin"} for each in FLEETS},
        **{
            (MEDIAFLEET, f"{each}/finalizers"): {"update": "blockOwnerDeletion of children"}
            for each in FLEETS
        },
        ("", "pods"): {
            "list": "kube/watch.py",
            "watch": "kube/watch.py",
            "get": "after a conflict: kube/apply.py",
            "create": "kube/apply.py",
            "patch": "marks: kube/apply.py",
            "delete": "kube/apply.py",
        },
        ("", "pods/status"): {"patch": "readiness gate: kube/apply.py"},
        ("apps", "deployments"): {
            "get": "kube/children.py",
            "create": "kube/children.py",
            "patch": "kube/children.py",
            "delete": "advertiser or head no more wanted: kube/children.py",
        },
        ("", "services"): {
            "list": "kube/watch.py",
            "watch": "kube/watch.py",
            "get": "kube/children.py",
            "create": "kube/children.py",
            "patch": "kube/children.py",
            "delete": "of a slot that is gone: kube/children.py",
        },
        **{
            key: {"get": "kube/children.py", "create": "kube/children.py", "patch": "the same"}
            for key in (
                ("", "serviceaccounts"),
                (RBAC, "roles"),
                (RBAC, "rolebindings"),
                ("", "persistentvolumeclaims"),
                ("policy", "poddisruptionbudgets"),
            )
        },
        ("", "secrets"): {"create": "-orchSecret: kube/children.py"},
        **{
            key: {
                "get": "kube/scalers.py",
                "create": "kube/scalers.py",
                "patch": "kube/scalers.py",
                "delete": "another engine took over: kube/scalers.py",
            }
            for key in (("autoscaling", "horizontalpodautoscalers"), ("keda.sh", "scaledobjects"))
        },
        ("events.k8s.io", "events"): {"create": "kube/report.py"},
    },
    "egress": {
        (MEDIAFLEET, "egressfleets"): {"list": "kube/watch.py", "watch": "kube/watch.py"},
        ("", "pods"): {"list": "kube/watch.py", "watch": "kube/watch.py"},
        (MEDIAFLEET, "egressfleets/status"): {"patch": "directory/conditions.py"},
        ("events.k8s.io", "events"): {"create": "directory/events.py"},
    },
    "broker": {
        (MEDIAFLEET, "aiworkerpools"): {"list": "kube/watch.py", "watch": "kube/watch.py"},
        ("", "pods"): {"list": "kube/watch.py", "watch": "kube/watch.py"},
    },
}


@pytest.mark.parametrize("component", USED)
def test_a_part_is_granted_what_it_does_and_nothing_else(component: str) -> None:
    used: set[Right] = {
        (group, resource, verb)
        for (group, resource), verbs in USED[component].items()
        for verb in verbs
    }
    assert granted(component) - used == set()
    assert used - granted(component) == set()


def test_a_call_needs_the_right_on_its_own_resource_and_subresource() -> None:
    pod = "/api/v1/namespaces/media/pods/rec-0"
    assert needed("delete", pod) == {("", "pods", "delete")}
    assert needed("patch", f"{pod}/status") == {("", "pods/status", "patch")}
    assert needed("list", "/api/v1/namespaces/media/pods") == {("", "pods", "list")}
    deployment = "/apis/apps/v1/namespaces/media/deployments/orch-advertiser"
    assert needed("apply", deployment) == {
        ("apps", "deployments", "create"),
        ("apps", "deployments", "patch"),
    }

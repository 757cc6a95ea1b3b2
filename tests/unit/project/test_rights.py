"""The rights that are granted: what a call needs, and how those that no run used are found.

That nothing is done without a right is held by the API server in memory, which refuses it in every
test of the operator (`tests/kit/operator/kube_server.py`). That each right is used, `make rbac`
finds in the audit log of a run on the node.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kit.operator.rights import granted, needed, table, unseen
from tests.kit.watching.rights import Use, read
from tests.measures.rights import GRANTED, lacked, unused

OPERATOR = "system:serviceaccount:media:mediafleet-operator"
ADVERTISER = "system:serviceaccount:media:orch-advertiser"
PODS = ("", "pods", "list")


def line(
    user: str,
    verb: str,
    resource: str,
    second: int = 0,
    *,
    decision: str = "allow",
    code: int = 200,
    namespace: str = "media",
    **about: str,
) -> str:
    event: dict[str, Any] = {
        "verb": verb,
        "user": {"username": user},
        "objectRef": {"resource": resource, "namespace": namespace, **about},
        "responseStatus": {"code": code},
        "requestReceivedTimestamp": f"2026-01-01T00:{second // 60:02}:{second % 60:02}.000000Z",
        "annotations": {"authorization.k8s.io/decision": decision},
    }
    return json.dumps(event)


def test_a_right_is_used_by_who_asks_on_the_resource_and_subresource() -> None:
    use = read(
        [
            line(OPERATOR, "patch", "pods", subresource="status"),
            line(ADVERTISER, "list", "pods"),
            line("kubernetes-admin", "delete", "pods"),
            line("system:serviceaccount:keda:keda-operator", "list", "pods"),
        ]
    )
    assert use.used == {"operator": {("", "pods/status", "patch")}, "advertiser": {PODS}}


def test_an_apply_that_made_something_used_both_rights() -> None:
    made = read([line(OPERATOR, "patch", "deployments", code=201, apiGroup="apps")])
    changed = read([line(OPERATOR, "patch", "deployments", apiGroup="apps")])
    new = made.used["operator"] - changed.used["operator"]
    assert new == {("apps", "deployments", "create")}


def test_what_admission_refuses_is_no_missing_right() -> None:
    assert read([line(OPERATOR, "create", "pods", code=403)]).refused == []


@pytest.mark.parametrize(
    ("second", "namespace", "counts"),
    [(0, "media", True), (100, "media", False), (300, "media", True), (100, "other", True)],
    ids=["before the binding went", "just after", "long after", "in another namespace"],
)
def test_a_refusal_counts_while_the_binding_of_the_rights_is_there(
    second: int, namespace: str, counts: bool
) -> None:
    refused = line(OPERATOR, "list", "pods", second, decision="forbid", namespace=namespace)
    gone = line("kubernetes-admin", "delete", "rolebindings", 90)
    assert lacked(read([gone, refused])) == ([("operator", PODS, namespace)] if counts else [])


def test_a_refusal_by_an_api_server_that_has_not_read_the_roles_yet_does_not_count() -> None:
    refused = line(OPERATOR, "watch", "pods", 100, decision="forbid")
    for second, counts in ((101, 0), (99, 1), (130, 1)):
        allowed = line(OPERATOR, "watch", "pods", second)
        assert len(read([refused, allowed]).refused) == counts


def test_a_refusal_does_not_count_where_the_rights_have_only_just_come() -> None:
    made = line("kubernetes-admin", "create", "rolebindings", 90)
    for second, counts in ((95, 0), (120, 1)):
        refused = line(OPERATOR, "list", "pods", second, decision="forbid")
        assert len(read([made, refused]).refused) == counts


def test_a_run_that_used_all_but_one_right_names_that_one() -> None:
    everything = {part: set(rights) for part, rights in GRANTED.items()}
    everything["egress"].remove(PODS)
    assert unused(Use(everything)) == [("egress", PODS)]


def test_a_right_that_no_log_can_show_is_granted_and_has_a_reason() -> None:
    for part, rules in table().items():
        assert unseen(part) <= granted(part)
        for rule in rules:
            assert all({**rule["verbs"], **rule.get("unseen", {})}.values())


def test_the_operator_has_each_right_that_it_grants() -> None:
    assert GRANTED["advertiser"] <= GRANTED["operator"]


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

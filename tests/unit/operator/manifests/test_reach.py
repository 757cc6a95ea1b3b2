"""What a template may reach, and who may allow more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.names import Kind
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_operator.core.flag_head import Head
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.manifests.children import flag_head
from mediafleet_operator.manifests.overlay import InvalidTemplateError
from mediafleet_operator.manifests.pods.pod import Product, make_pod, problem
from mediafleet_operator.manifests.pods.reach import Reach
from mediafleet_operator.manifests.resource import Resource
from mediafleet_testbed.paths import REPOSITORY

NOTHING = Product("ours:1")


def in_egress(**part: Any) -> dict[str, Any]:
    return {"containers": [{"name": "egress", **part}]}


def secured(**context: Any) -> dict[str, Any]:
    return in_egress(securityContext=context)


ATTACKS: list[tuple[Reach, dict[str, Any]]] = [
    (Reach.HOST_NAMESPACES, {"hostNetwork": True}),
    (Reach.HOST_NAMESPACES, {"hostPID": True}),
    (Reach.HOST_NAMESPACES, {"hostIPC": True}),
    (Reach.HOST_PATHS, {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}),
    (Reach.HOST_PATHS, {"volumes": [{"name": "mediafleet-home", "hostPath": {"path": "/"}}]}),
    (Reach.HOST_PORTS, in_egress(ports=[{"containerPort": 1, "hostPort": 22}])),
    (Reach.HOST_PORTS, in_egress(readinessProbe={"httpGet": {"host": "169.254.169.254"}})),
    (Reach.HOST_PORTS, in_egress(livenessProbe={"tcpSocket": {"host": "10.0.0.1"}})),
    (Reach.HOST_PORTS, in_egress(lifecycle={"postStart": {"httpGet": {"host": "10.0.0.1"}}})),
    (Reach.PRIVILEGED, secured(privileged=True)),
    (Reach.PRIVILEGED, secured(procMount="Unmasked")),
    (Reach.PRIVILEGED, secured(capabilities={"add": ["SYS_ADMIN"]})),
    (Reach.PRIVILEGED, secured(seccompProfile={"type": "Unconfined"})),
    (Reach.PRIVILEGED, secured(appArmorProfile={"type": "Unconfined"})),
    (Reach.PRIVILEGED, secured(seLinuxOptions={"type": "spc_t"})),
    (Reach.PRIVILEGED, secured(windowsOptions={"hostProcess": True})),
    (Reach.PRIVILEGED, {"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}),
    (Reach.PRIVILEGED, {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
    (
        Reach.PRIVILEGED,
        {"initContainers": [{"name": "i", "image": "i", "securityContext": {"privileged": True}}]},
    ),
    (Reach.SERVICE_ACCOUNTS, {"serviceAccountName": "operator"}),
    (Reach.SERVICE_ACCOUNTS, {"serviceAccount": "operator"}),
    (Reach.SERVICE_ACCOUNTS, {"automountServiceAccountToken": True}),
    (Reach.SERVICE_ACCOUNTS, {"automountServiceAccountToken": None}),
    (
        Reach.SERVICE_ACCOUNTS,
        {"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {}}]}}]},
    ),
]


def fleet(spec: dict[str, Any], **metadata: Any) -> Resource:
    template = {"spec": spec, "metadata": metadata}
    parsed = EgressFleetSpec.model_validate({"redis": {"address": "r:1"}, "template": template})
    return Resource(FleetKey(Kind.EGRESS_FLEET, "media", "rec"), "u", "1", 1, False, parsed, None)


def pool(**spec: Any) -> Resource:
    parsed = OrchestratorPoolSpec.model_validate(spec)
    key = FleetKey(Kind.ORCHESTRATOR_POOL, "media", "orch")
    return Resource(key, "u", "1", 1, False, parsed, None)


@pytest.mark.parametrize(("reach", "spec"), ATTACKS, ids=lambda part: str(part)[:60])
def test_a_template_reaches_beyond_its_pod_only_if_the_administrator_allows_it(
    reach: Reach, spec: dict[str, Any]
) -> None:
    others = frozenset(Reach) - {reach}
    for product in (NOTHING, Product("ours:1", allowed=others)):
        refused = problem(fleet(spec), product)
        assert refused is not None
        assert refused.startswith("spec.template.spec.")
        assert f"{reach.value} in the chart value template.allow" in refused
    assert problem(fleet(spec), Product("ours:1", allowed=frozenset({reach}))) is None


@pytest.mark.parametrize(("reach", "spec"), ATTACKS, ids=lambda part: str(part)[:60])
def test_the_template_of_a_head_reaches_no_further(reach: Reach, spec: dict[str, Any]) -> None:
    own = json.loads(json.dumps(spec).replace('"egress"', '"node"'))
    one = pool(advertise={"mode": "flag", "flag": {"template": {"spec": own}}})
    head = Head(("https://a:1",), 1.0)
    with pytest.raises(InvalidTemplateError, match=r"spec\.advertise\.flag\.template\.spec\."):
        flag_head.manifests(one, NOTHING, head, "")
    allowing = Product("ours:1", allowed=frozenset({reach}))
    assert flag_head.manifests(one, allowing, head, "")


def test_an_annotation_lifts_no_profile() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/egress"
    refused = problem(fleet({}, annotations={key: "unconfined"}), NOTHING)
    assert refused is not None
    assert refused.startswith("spec.template.metadata.annotations")


def test_what_mediafleet_itself_adds_needs_no_permission_and_gives_none() -> None:
    ports = {"type": "host_port", "portRange": {"first": 20000, "last": 20009}}
    ours = make_pod(pool(address=ports), 1, NOTHING)
    assert ours["spec"]["containers"][0]["ports"][0]["hostPort"] == 20001
    more = {"name": "node", "ports": [{"containerPort": 22, "hostPort": 22}]}
    refused = problem(pool(address=ports, template={"spec": {"containers": [more]}}), NOTHING)
    assert refused is not None
    assert "ports[22].hostPort is 22" in refused


@pytest.mark.parametrize(
    "odd",
    [
        {"securityContext": ["x"]},
        {"containers": [{"name": "egress", "securityContext": 1, "ports": None}]},
        {"containers": [{"name": "egress", "lifecycle": [], "readinessProbe": "x"}]},
        {"volumes": [{"name": "v", "projected": {"sources": [1]}}]},
        {"containers": [{"name": "egress", "securityContext": {"capabilities": {"add": 7}}}]},
        {"containers": [{"name": "egress", "securityContext": {"capabilities": {"add": [[]]}}}]},
    ],
    ids=str,
)
def test_parts_of_another_type_break_nothing(odd: dict[str, Any]) -> None:
    refused = problem(fleet(odd), NOTHING)
    assert refused is None or refused.startswith("spec.template")


def test_chart_and_operator_know_the_same_words() -> None:
    schema = json.loads((REPOSITORY / "charts/mediafleet/values.schema.json").read_text())
    known = schema["properties"]["template"]["properties"]["allow"]["items"]["enum"]
    assert known == [each.value for each in Reach]

"""The pod of a node behind a drain proxy."""

from __future__ import annotations

from typing import Any, Final

import pytest
from tests.unit.operator.manifests.test_pods import PRODUCT, container, pool

from mediafleet_common.api.names import Port
from mediafleet_operator.manifests.pods.pod import make_pod, problem
from mediafleet_operator.manifests.resource import template_hash

ADDRESSES: Final[dict[str, dict[str, Any]]] = {
    "pod_ip": {"port": 9000},
    "host_port": {"port": 9000, "portRange": {"first": 20000, "last": 20099}},
    "node_port": {"port": 9000},
    "load_balancer": {"port": 9000},
    "template": {"port": 9000, "template": "https://{slot}.example.com:8935"},
}


def proxied(**more: Any) -> dict[str, Any]:
    return make_pod(pool(drainProxy={}, load="requests", **more), 3, PRODUCT)


@pytest.mark.parametrize("kind", ADDRESSES)
def test_with_every_kind_of_address_the_proxy_has_the_port_and_the_node_loopback(kind: str) -> None:
    pod = proxied(address={"type": kind, **ADDRESSES[kind]})

    [port] = container(pod, "drain-proxy")["ports"]
    assert port["containerPort"] == 9000
    assert port.get("hostPort") == (20003 if kind == "host_port" else None)
    node = container(pod, "node")
    assert node["ports"] == []
    assert f"-httpAddr=127.0.0.1:{Port.BEHIND_PROXY}" in node["args"]
    assert "0.0.0.0:9000" in container(pod, "proxy-config")["args"]


def test_the_agent_reads_what_the_proxy_is_told_without_asking_the_cluster() -> None:
    pod = proxied()

    [volume] = [each for each in pod["spec"]["volumes"] if each["name"] == "mediafleet-pod"]
    [item] = volume["downwardAPI"]["items"]
    assert item["fieldRef"]["fieldPath"] == "metadata.annotations['mediafleet.dev/refuse-from']"
    agent = container(pod, "agent")
    given = agent["args"]
    assert given[given.index("--refuse-from") + 1] == f"/mediafleet/pod/{item['path']}"
    assert given[given.index("--load") + 1] == "requests"
    folders = {each["mountPath"] for each in agent["volumeMounts"]}
    assert folders == {"/mediafleet/pod", "/mediafleet/proxy"}
    assert pod["spec"]["automountServiceAccountToken"] is False


def test_all_containers_of_a_deleted_pod_wait_for_the_work_in_flight() -> None:
    pod = proxied()

    ends = [each["lifecycle"] for each in pod["spec"]["containers"]]
    assert ends == [{"preStop": {"httpGet": {"path": "/hold", "port": Port.AGENT}}}] * 3


def test_the_restricted_level_admits_it() -> None:
    for each in [*proxied()["spec"]["initContainers"], *proxied()["spec"]["containers"]]:
        assert each["securityContext"]["readOnlyRootFilesystem"] is True
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_proxy_is_part_of_the_template_and_its_image_can_be_chosen() -> None:
    assert template_hash(pool().spec) != template_hash(pool(drainProxy={}).spec)
    pod = make_pod(pool(drainProxy={"image": "mine:1"}), 0, PRODUCT)
    assert container(pod, "drain-proxy")["image"] == "mine:1"


def test_with_it_a_drain_settles_for_a_minute() -> None:
    assert pool(drainProxy={}).spec.settle_seconds == 60
    assert pool(drainProxy={}, drain={"settle": "2s"}).spec.settle_seconds == 2


def test_sessions_are_no_load_of_a_node_with_ai_models() -> None:
    args = ["-orchestrator", "-aiWorker", "-aiModels=/models.json"]

    told = problem(pool(args=args), PRODUCT)
    assert told is not None
    assert told.startswith("spec.load is transcode")
    assert problem(pool(args=args, drainProxy={}, load="requests"), PRODUCT) is None
    declared = {"models": ["llm/m"]}
    told = problem(pool(advertise=declared), PRODUCT)
    assert told is not None
    assert "spec.advertise.models" in told
    assert problem(pool(advertise=declared, load="connections"), PRODUCT) is None


@pytest.mark.parametrize(
    ("node", "where"),
    [
        (
            {"args": ["-orchSecret=/s/secret", "--aiModels", "/m.json"]},
            "-aiModels in spec.template",
        ),
        ({"env": [{"name": "LP_AIMODELS", "value": "/m.json"}]}, "LP_AIMODELS in spec.template"),
    ],
)
def test_ai_models_of_a_template_are_no_less_seen(node: dict[str, Any], where: str) -> None:
    mounts = [{"name": "s", "mountPath": "/s"}]
    made = {"containers": [{"name": "node", "volumeMounts": mounts, **node}]}
    told = problem(pool(template={"spec": made}), PRODUCT)
    assert told is not None
    assert told.startswith("spec.load is transcode")
    assert where in told

"""Who reaches whom where the chart's NetworkPolicies are enforced, as its templates render."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from tests.kit.node.network import Place, reaches

from mediafleet_common.api.names import Kind, Port
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.manifests.pods.pod import app_labels
from mediafleet_operator.manifests.resource import Resource
from mediafleet_testbed.paths import REPOSITORY
from mediafleet_testbed.tools import toolchain

if TYPE_CHECKING:
    from mediafleet_testbed.node import Node

CHART: Final = REPOSITORY / "charts/mediafleet"
RESOURCE: Final = Resource(
    FleetKey(Kind.ORCHESTRATOR_POOL, "media", "orch"),
    *("u", "1", 1, False, OrchestratorPoolSpec(), None),
)


def ours(component: str, namespace: str = "media") -> Place:
    """A pod that the operator makes."""
    return Place(namespace, app_labels(RESOURCE, component))


def of_chart(component: str) -> Place:
    return Place(
        "system",
        {
            "app.kubernetes.io/name": "mediafleet",
            "app.kubernetes.io/instance": "mf",
            "app.kubernetes.io/component": component,
        },
    )


OPERATOR: Final = of_chart("operator")
DESK: Final = of_chart("egress")
BROKER: Final = of_chart("broker")
WORKER: Final = ours("egress")
NODE: Final = ours("orchestrator")
HEAD: Final = ours("head")
ADVERTISER: Final = ours("advertiser")
REPORTER: Final = ours("reporter")
AI_WORKER: Final = ours("ai-worker")
SCRAPER: Final = Place("monitoring", {"app": "prometheus"})
KEDA: Final = Place("keda", {"app": "keda-operator"})
TENANT: Final = Place("evil", {"app": "keda-operator"})
NEIGHBOUR: Final = Place("media", {"app": "web"})
REDIS: Final = Place("data", {"app": "redis"})
API_SERVER: Final = Place(address="10.96.0.1")
INTERNET: Final = Place(address="203.0.113.9")
COLLECTOR: Final = Place(address="198.51.100.7")
METADATA: Final = Place(address="169.254.169.254")

MUST: Final[list[tuple[Place, Place, int]]] = [
    *((each, API_SERVER, 443) for each in (OPERATOR, DESK, ADVERTISER, BROKER, REPORTER)),
    *((OPERATOR, each, Port.DESK_HTTP) for each in (DESK, ADVERTISER, BROKER, REPORTER)),
    *((OPERATOR, each, Port.AGENT) for each in (NODE, HEAD, AI_WORKER)),
    *((each, WORKER, Port.EGRESS_METRICS) for each in (OPERATOR, DESK)),
    (DESK, REDIS, 6379),
    (WORKER, REDIS, 6379),
    (ADVERTISER, REPORTER, Port.DESK_HTTP),
    (KEDA, DESK, Port.SCALER),
    (KEDA, ADVERTISER, Port.SCALER),
    (KEDA, BROKER, Port.SCALER),
    # Its peers, their Redis, and an orchestrator at which it registers.
    (BROKER, BROKER, 8935),
    (BROKER, REDIS, 6379),
    (BROKER, INTERNET, 8936),
    # Workers and orchestrators are anywhere.
    *((each, BROKER, 8935) for each in (AI_WORKER, INTERNET)),
    *((each, BROKER, Port.DESK_HTTP) for each in (NODE, INTERNET)),
    (ADVERTISER, NODE, Port.ORCHESTRATOR),
    (ADVERTISER, NODE, Port.AGENT),
    (ADVERTISER, ADVERTISER, Port.DESK_HTTP),
    (ADVERTISER, INTERNET, 8935),
    (REPORTER, NODE, Port.AGENT),
    (REPORTER, COLLECTOR, 443),
    *((INTERNET, each, Port.ORCHESTRATOR) for each in (ADVERTISER, NODE, HEAD)),
    (HEAD, NODE, Port.ORCHESTRATOR),
    *((each, INTERNET, 443) for each in (WORKER, NODE, HEAD)),
    *((SCRAPER, each, Port.DESK_HTTP) for each in (OPERATOR, DESK, ADVERTISER)),
    (SCRAPER, WORKER, Port.EGRESS_METRICS),
]
EVERY: Final = (OPERATOR, DESK, BROKER, WORKER, NODE, HEAD, ADVERTISER, AI_WORKER, REPORTER)
MUST_NOT: Final[list[tuple[Place, Place, int]]] = [
    *((each, METADATA, 80) for each in EVERY),
    *((TENANT, each, Port.DESK_HTTP) for each in (OPERATOR, DESK, ADVERTISER)),
    *((NEIGHBOUR, each, Port.DESK_HTTP) for each in (OPERATOR, DESK, ADVERTISER)),
    (TENANT, WORKER, Port.EGRESS_METRICS),
    (NEIGHBOUR, WORKER, 9092),
    # go-livepeer's port that moves money.
    *((each, NODE, 7935) for each in (OPERATOR, ADVERTISER, NEIGHBOUR, TENANT, INTERNET)),
    (NEIGHBOUR, NODE, Port.AGENT),
    (TENANT, DESK, Port.SCALER),
    (TENANT, ADVERTISER, Port.SCALER),
    (TENANT, BROKER, Port.SCALER),
    *((each, AI_WORKER, Port.AGENT) for each in (NEIGHBOUR, TENANT, INTERNET)),
    (OPERATOR, INTERNET, 8080),
    (BROKER, INTERNET, 8080),
    (OPERATOR, REDIS, 6379),
    (DESK, INTERNET, 8080),
    (DESK, NEIGHBOUR, 8080),
    (WORKER, DESK, Port.DESK_HTTP),
    # Port 443 is open to all where networkPolicy.apiServer is not set, as in these values.
    *((REPORTER, INTERNET, port) for port in (80, 8935)),
    *((REPORTER, each, Port.DESK_HTTP) for each in (DESK, ADVERTISER, NEIGHBOUR)),
    (REPORTER, NODE, Port.ORCHESTRATOR),
    *((each, REPORTER, Port.DESK_HTTP) for each in (NEIGHBOUR, TENANT, INTERNET)),
    *((each, REPORTER, Port.SENDER) for each in (OPERATOR, SCRAPER, NEIGHBOUR)),
]


@pytest.fixture(scope="module")
def policies(node: Node) -> list[dict[str, Any]]:
    """As in a cluster that enforces them, with scrapers named."""
    values = {
        "rbac": {"scope": "namespace"},
        "watchNamespaces": ["media"],
        "keda": {"namespace": "keda"},
        "broker": {
            "enabled": True,
            "models": [{"pipeline": "llm", "model": "m"}],
            "secret": {"name": "broker", "key": "secret"},
            "runnerToken": {"name": "broker", "key": "token"},
            "redis": {"url": "redis://redis.data:6379"},
            "url": "https://broker.example.com",
            "orchestrators": [
                {"url": "https://orch:8936", "secret": {"name": "orch", "key": "secret"}}
            ],
        },
        "networkPolicy": {
            "enabled": True,
            "collectors": [{"ipBlock": {"cidr": "198.51.100.0/24"}}],
            "from": [
                {
                    "namespaceSelector": {
                        "matchLabels": {"kubernetes.io/metadata.name": "monitoring"}
                    }
                }
            ],
        },
    }
    text = node.run(
        *(str(toolchain.ensure("helm")["helm"]), "template", "mf", str(CHART), "-n", "system"),
        *("--kube-version", "1.36.3", "-s", "templates/networkpolicy.yaml", "-f", "-"),
        stdin=yaml.safe_dump(values),
    ).stdout
    return [each for each in yaml.safe_load_all(text) if each]


def name(place: Place) -> str:
    return place.address or f"{place.namespace}/{'.'.join(place.labels.values())}"


def test_whoever_needs_a_part_of_ours_reaches_it(policies: list[dict[str, Any]]) -> None:
    cut = [
        f"{name(caller)} -> {name(called)}:{port}"
        for caller, called, port in MUST
        if not reaches(policies, caller, called, port)
    ]
    assert cut == []
    assert all(reaches(policies, each, INTERNET, 53, "UDP") for each in EVERY)


def test_nobody_else_reaches_it_and_none_of_ours_reaches_the_credentials_of_the_cloud(
    policies: list[dict[str, Any]],
) -> None:
    open_ = [
        f"{name(caller)} -> {name(called)}:{port}"
        for caller, called, port in MUST_NOT
        if reaches(policies, caller, called, port)
    ]
    assert open_ == []


def test_each_pod_of_ours_has_a_policy_for_both_ways(policies: list[dict[str, Any]]) -> None:
    assert len(policies) == len(EVERY)
    assert all(each["spec"]["policyTypes"] == ["Ingress", "Egress"] for each in policies)
    for each in EVERY:
        assert not reaches(policies, INTERNET, each, 1)

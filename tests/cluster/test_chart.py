"""The charts and samples, judged by helm and by a real API server."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.kit.cluster.product import RELEASE, Product, deployed

from mediafleet_common.api import crds
from mediafleet_common.api.names import PLURALS, Port
from mediafleet_common.kube.account_tokens import pools_audience
from mediafleet_testbed.cluster.pods import container, pod, service
from mediafleet_testbed.errors import CommandError
from mediafleet_testbed.paths import REPOSITORY
from mediafleet_testbed.tools import toolchain
from mediafleet_testbed.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mediafleet_testbed.cluster.workspace import Workspace
    from mediafleet_testbed.node import Node

ROOT = REPOSITORY
CHART = str(ROOT / "charts/mediafleet")
CRD_CHART = str(ROOT / "charts/mediafleet-crds")
SAMPLES = sorted((ROOT / "samples").glob("*.yaml"))
FOREIGN_KINDS = ("ServiceMonitor", "PodMonitor", "PrometheusRule")
EVERYTHING = (
    *(
        "--set",
        "networkPolicy.enabled=true",
        "--set",
        "networkPolicy.from[0].ipBlock.cidr=10.0.0.0/8",
    ),
    *("--set", "metrics.serviceMonitor.enabled=true", "--set", "metrics.podMonitor.enabled=true"),
    *("--set", "metrics.prometheusRule.enabled=true", "--set", "metrics.dashboards.enabled=true"),
    *("--set", "metrics.prometheusRule.runbookUrl=https://example.com/runbook"),
    *("--set", "image.registry=example.com:5000", "--set", f"image.digest=sha256:{'0' * 64}"),
    *("--set", "imagePullSecrets[0].name=pull", "--set", "egress.replicas=2"),
    *("--set", "egress.redis[0].name=main", "--set", "egress.redis[0].addresses={redis:6379}"),
    *("--set", "egress.redis[0].passwordSecret.name=redis"),
    *("--set", "egress.redis[0].passwordSecret.key=password"),
    *("--set", "operator.podLabels.team=media", "--set", "operator.priorityClassName=high"),
    *("--set", "operator.extraEnv[0].name=A", "--set-string", "operator.extraEnv[0].value=1"),
)
COLLECTOR = (
    *("--set", "community.collector.enabled=true", "--set", "networkPolicy.enabled=true"),
    *("--set", "community.collector.from[0].ipBlock.cidr=10.0.0.0/8"),
    *("--set", "community.collector.page.enabled=true"),
    *("--set", "community.collector.page.operator=Example"),
    *("--set", "community.collector.page.targets={http://a.example.com:8080}"),
    *("--set", "community.collector.page.tokenSecret.name=s"),
    *("--set", "community.collector.page.tokenSecret.key=token"),
)
BROKERS = (
    *("--set", "broker.enabled=true", "--set", "broker.replicas=2"),
    *("--set", "broker.models[0].pipeline=llm", "--set", "broker.models[0].model=m"),
    *("--set", "broker.secret.name=b", "--set", "broker.secret.key=s"),
    *("--set", "broker.runnerToken.name=b", "--set", "broker.runnerToken.key=t"),
    *("--set", "broker.redis.url=redis://redis:6379", "--set", "broker.bodiesClaim=bodies"),
    *("--set", "broker.redis.passwordSecret.name=r", "--set", "broker.redis.passwordSecret.key=p"),
    *("--set", "broker.url=https://broker.example.com", "--set", "networkPolicy.enabled=true"),
    *("--set", "broker.orchestrators[0].url=https://orch.example.com:8935"),
    *("--set", "broker.orchestrators[0].secret.name=o"),
    *("--set", "broker.orchestrators[0].secret.key=s"),
    *("--set", "broker.workersService.type=LoadBalancer"),
    *("--set", "community.origins.redis=redis://origins:6379"),
    *("--set", "community.origins.pool=media/nodes"),
    *("--set", "community.origins.passwordSecret.name=c"),
    *("--set", "community.origins.passwordSecret.key=p"),
)
VARIANTS: dict[str, tuple[str, ...]] = {
    "default": (),
    "everything": EVERYTHING,
    "two_namespaces": ("--set", "rbac.scope=namespace", "--set", "watchNamespaces={default,other}"),
    "own_namespace_alone": ("--set", "rbac.scope=namespace", "--set", "rbac.nodes=false"),
    "without_desk": ("--set", "egress.enabled=false"),
    "brokers": BROKERS,
    "collector": COLLECTOR,
    "collector_in_prometheus": (*COLLECTOR, "--set", "community.collector.store=prometheus"),
    "scaler_in_plaintext": ("--set", "egress.scaler.tls.mode=none"),
}


def helm(node: Node, *arguments: str, timeout_seconds: float = 60) -> str:
    """helm's standard output."""
    program = str(toolchain.ensure("helm")["helm"])
    return node.run(program, *arguments, timeout_seconds=timeout_seconds).stdout


def render(node: Node, chart: str, *arguments: str) -> list[dict[str, Any]]:
    text = helm(node, "template", "mf", chart, "--kube-version", "1.36.3", *arguments)
    return [part for part in yaml.safe_load_all(text) if part]


@pytest.fixture
def resources(node: Node) -> None:
    """Our resources, known to the API server."""
    node.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    for plural in PLURALS.values():
        node.kubectl("wait", "--for=condition=Established", f"crd/{plural}.mediafleet.dev")


def pods_of(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pods that the documents lead to, as documents of their own."""
    pods = [part for part in documents if part["kind"] == "Pod"]
    for part in documents:
        if part["kind"] == "Deployment":
            template = part["spec"]["template"]
            metadata = {**template["metadata"], "name": part["metadata"]["name"]}
            # Pod Security judges this pod; the account that it names comes later.
            spec = {**template["spec"], "serviceAccountName": "default", "priorityClassName": ""}
            pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    return pods


@pytest.mark.parametrize("chart", [CHART, CRD_CHART], ids=["mediafleet", "mediafleet-crds"])
def test_helm_lints_the_chart(node: Node, chart: str) -> None:
    helm(node, "lint", "--strict", "--kube-version", "1.36.3", chart)


def test_the_chart_of_resources_renders_what_the_models_say(node: Node) -> None:
    rendered = {part["metadata"]["name"]: part for part in render(node, CRD_CHART)}
    wanted = [crds.crd(kind) for kind in crds.MODELS]
    assert rendered == {part["metadata"]["name"]: part for part in wanted}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_api_server_takes_what_the_chart_renders(
    node: Node, workspace: Workspace, variant: str
) -> None:
    documents = render(node, CHART, "-n", workspace.name, *VARIANTS[variant])
    known = [part for part in documents if part["kind"] not in FOREIGN_KINDS]
    for part in known:
        # Namespaces of others need not exist for their Roles to be judged.
        if part["metadata"].get("namespace", workspace.name) != workspace.name:
            part["metadata"]["namespace"] = workspace.name
    listed = {"apiVersion": "v1", "kind": "List", "items": known}
    workspace.kubectl(
        *("apply", "--dry-run=server", "--validate=strict", "-f", "-"), stdin=json.dumps(listed)
    )


@pytest.mark.parametrize(("variant", "count"), [("default", 3), ("everything", 3)])
def test_a_restricted_namespace_admits_every_pod_of_the_chart(
    node: Node, workspace: Workspace, variant: str, count: int
) -> None:
    pods = pods_of(render(node, CHART, "-n", workspace.name, *VARIANTS[variant]))
    assert len(pods) == count
    for each in pods:
        each["metadata"].pop("namespace", None)
        workspace.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(each))


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("operator.replica=3", "additional properties 'replica' not allowed"),
        ("image.digest=abc", "does not match pattern"),
        ("rbac.scope=all", "must be one of 'cluster', 'namespace'"),
        ("egress.redis[0].addresses={redis:6379}", "missing property 'name'"),
        ("egress.redis[0].name=main", "missing property 'addresses'"),
        ("broker.replicas=2", "at '/broker/redis/url': minLength"),
        (
            "broker.orchestrators[0].url=https://o",
            "at '/broker/orchestrators/0': missing property 'secret'",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_name(node: Node, setting: str, complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        render(node, CHART, "--set", setting)


@pytest.mark.usefixtures("resources")
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_the_api_server_takes_a_sample(workspace: Workspace, sample: Path) -> None:
    workspace.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(sample))


LOCKED_REDIS = "locked-redis:6379"
PASSWORD = {"name": "redis", "key": "password"}
FLEET = {
    "apiVersion": "mediafleet.dev/v1alpha1",
    "kind": "EgressFleet",
    "metadata": {"name": "recorder"},
    "spec": {
        "image": "mediafleet-testbed:dev",
        "redis": {"ref": "locked", "passwordSecret": PASSWORD},
    },
}
POOL = {
    "apiVersion": "mediafleet.dev/v1alpha1",
    "kind": "OrchestratorPool",
    "metadata": {"name": "transcoders"},
    "spec": {"image": "mediafleet-testbed:dev"},
}
ADVERTISER = "transcoders-advertiser"
REFUSED = {"none": 401, "for the API server": 401, "of another": 403, "for pools of others": 401}
TOKEN = "--subresource=token"
BESIDE_PODS = (
    *("serviceaccount/" + ADVERTISER, "role/" + ADVERTISER, "rolebinding/" + ADVERTISER),
    *("deployment/" + ADVERTISER, "poddisruptionbudget/" + ADVERTISER, "service/transcoders"),
)


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    """The chart, installed with no right outside of its namespace, and a Redis with a password."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": PASSWORD["name"]}}
    command = ("redis-server", "--save", "", "--requirepass", "open sesame")
    workspace.apply(
        {**secret, "stringData": {PASSWORD["key"]: "open sesame"}},
        pod("locked-redis", container("redis", "redis:dev", *command)),
        service("locked-redis", 6379, 6379),
    )
    redis = [{"name": "locked", "addresses": [LOCKED_REDIS], "passwordSecret": PASSWORD}]
    values = {"rbac": {"nodes": False}, "egress": {"replicas": 2, "redis": redis}}
    with deployed(node, workspace, values) as it:
        yield it


def may(product: Product, account: str, verb: str, *what: str) -> bool:
    """Whether an account of the chart may do something in its namespace."""
    user = f"system:serviceaccount:{product.namespace}:{RELEASE}-{account}"
    try:
        answer = product.workspace.kubectl("auth", "can-i", verb, *what, f"--as={user}")
        return answer.strip() == "yes"
    except CommandError:
        return False


def reports_by_token(product: Product, service: str) -> dict[str, int]:
    """How a desk answers /demand, by whose token comes along."""
    api_audience = "https://kubernetes.default.svc.cluster.local"
    tokens = {
        "none": "",
        "for the API server": product.token(audience=api_audience),
        "of another": product.token(f"{RELEASE}-egress"),
        "for pools here": product.token(audience=pools_audience(product.namespace)),
        "for pools of others": product.token(audience=pools_audience("others")),
        "operator's": product.token(),
    }
    host = product.workspace.get("service", service)["spec"]["clusterIP"]

    def status(token: str) -> int | None:
        """`None`: this replica does not know the keys yet, or the Service does not lead to it."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"http://{host}:{Port.DESK_HTTP}/demand", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code if error.code != 503 else None
        except urllib.error.URLError:
            return None

    return {
        name: wait_for(f"an answer to {name}", partial(status, token))
        for name, token in tokens.items()
    }


def assert_the_doctor_knows_it(product: Product) -> None:
    """`mediafleet doctor` finds every part in place, and of the fleets what is on its way."""
    words = ("-n", product.namespace, "-o", "json", "--kubeconfig", str(product.node.kubeconfig))
    told = subprocess.run(
        [sys.executable, "-m", "mediafleet.main", "doctor", *words],
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    levels = {each["subject"]: each["level"] for each in json.loads(told.stdout)}
    parts = ("Kubernetes", "operator", "resource EgressFleet", "resource OrchestratorPool")
    several = ("certificate ", "account ", "process ")
    found = [each for each in levels if each.startswith(several)]
    assert {levels[part] for part in (*parts, *found)} == {"ok"}, told.stdout
    assert {each.partition(" ")[0] + " " for each in found} == {*several}


def test_installed_it_passes_its_own_test_and_has_the_rights_it_needs_and_no_more(
    product: Product,
) -> None:
    workspace = product.workspace
    helm(product.node, "-n", product.namespace, "test", RELEASE, timeout_seconds=120)

    workspace.apply(FLEET, POOL)
    for what in BESIDE_PODS:
        wait_for(what, partial(workspace.get, *what.split("/")))
    for name in ("recorder-0", "transcoders-0"):
        wait_for(name, partial(workspace.get, "pod", name))
    for resource in ("efleet/recorder", "opool/transcoders"):
        workspace.wait("condition=TemplateValid", resource)
    # Nobody has asked for the pod that comes in its place.
    workspace.kubectl("delete", "pod", "transcoders-0", "--wait=false")
    wait_for("an Event", lambda: "ScaledUp" in workspace.kubectl("get", "events.events.k8s.io"))
    serving = f"serving the fleets on Redis at {LOCKED_REDIS}"
    wait_for(serving, lambda: serving in workspace.kubectl("logs", f"deployment/{RELEASE}-egress"))
    for component in ("operator", "egress"):
        log = workspace.kubectl("logs", f"deployment/{RELEASE}-{component}")
        refused = [line for line in log.splitlines() if "forbidden" in line]
        assert [line for line in refused if '"nodes"' not in line] == []

    told = reports_by_token(product, f"{RELEASE}-egress")
    assert told == {**REFUSED, "for pools here": 401, "operator's": 200}
    workspace.wait("condition=Available", f"deployment/{ADVERTISER}")
    told = reports_by_token(product, "transcoders")
    assert told == {**REFUSED, "for pools here": 200, "operator's": 200}
    assert may(product, "operator", "create", f"serviceaccounts/{RELEASE}-operator", TOKEN)
    assert not may(product, "operator", "create", f"serviceaccounts/{RELEASE}-egress", TOKEN)
    assert may(product, "operator", "delete", "pods")
    assert may(product, "operator", "patch", "pods", "--subresource=status")
    assert may(product, "operator", "delete", "services")
    assert may(product, "operator", "create", "persistentvolumeclaims")
    assert not may(product, "operator", "delete", "persistentvolumeclaims"), "money may be in them"
    assert not may(product, "operator", "get", "secrets")
    assert not may(product, "operator", "create", "pods", "--subresource=exec")
    assert not may(product, "operator", "delete", "egressfleets.mediafleet.dev")
    assert_the_doctor_knows_it(product)
    assert not may(product, "egress", "get", "secrets")
    assert not may(product, "egress", "create", "pods")
    assert not may(product, "egress", "patch", "pods")

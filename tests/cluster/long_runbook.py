"""The runbook tried on the node: each trouble that can be had there is brought about, told by its
condition, alert or finding, and ends by what the page says. For `make faults`: minutes.

What is not here, and where it is held:

| trouble | why not here | held by |
|---|---|---|
| pods and nodes that end, are evicted, lost or cordoned; drains that wait | it stops what others \
use, and the engine's answer is timed | test_operator_fleet.py, test_kills_without_api.py, proofs |
| ModeIgnored, CostsDiffer, EngineConflict with a desk | other images | test_mode_unsupported.py, \
test_break_glass.py |
| addresses, sources (SourceDropped), heads and nodes left out | they need gateways | \
test_addresses.py, test_advertiser.py, tests/real/advertise |
| ScalerNotReady, DemandUnknown, finding keda of an APIService | they need KEDA | tests/keda |
| CommunityMetrics | they need recipients | test_community.py, long_community_senders.py |
| RedisNotDeclared, RedisOfOthers | they need an administrator's Redis | test_chart.py, \
tests/unit/operator |
| CliExposed, WorkUncounted, NodeEnded | a real go-livepeer's | tests/unit/operator |
| alerts of jobs and tasks | they need callers | tests/real/monitoring/test_alerts.py |
| other findings of doctor | facts of clusters, Redis, files | tests/unit/cli/test_doctor.py |
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.kit.cluster.product import Product, deployed, upgrade
from tests.kit.fleets.manifests import IMAGE, egress_fleet, orchestrator_pool

from mediafleet_common.api.names import Port
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.paths import REPOSITORY
from mediafleet_testbed.real_servers import free_port
from mediafleet_testbed.tools import debian
from mediafleet_testbed.waiting import wait_for

Json = dict[str, Any]
SECONDS: Final = 300.0
"""kubelet pulls again and starts again with pauses; Unschedulable is told after a minute."""
PAGE: Final = (REPOSITORY / "docs/runbook.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Trouble:
    """A reason of the page, how it comes about, and what the page says against it."""

    reason: str
    condition: str
    page: str
    """Words of the page's advice."""
    spec: Json = field(default_factory=dict)
    """Of the resource, to bring it about."""
    later: Json = field(default_factory=dict)
    """A merge patch of the spec that brings it about once the resource is Ready."""
    mend: Json = field(default_factory=dict)
    """A merge patch of the spec that is what the page says."""
    before: str = ""
    """Of kubectl, before the resource is made."""
    after: str = ""
    """Of kubectl: what the page says, where it is no change of the resource."""
    kind: str = "efleet"
    status: str = "True"
    alone: bool = False
    """It concerns the other resources of the namespace as well."""

    def __str__(self) -> str:
        return self.reason

    @property
    def name(self) -> str:
        """Of the resource."""
        return self.reason.lower()


def _container(**more: Any) -> Json:
    made = egress_fleet("x", "x", 1)["spec"]["template"]
    made["spec"]["containers"][0] |= more
    return {"template": made}


GOOD: Final = _container()
PLENTY: Final = {"requests": {"cpu": "500"}, "limits": {"cpu": "500"}}
FROM_SECRET: Final = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "late", "key": "x"}}}]
NO_IMAGE: Final = {"image": "127.0.0.1:1/none:1", **_container(imagePullPolicy="IfNotPresent")}
GOOD_IMAGE: Final = {"image": IMAGE, **GOOD}
AUTOSCALING: Final = {"min": 1, "max": 2}
DESK: Final = "scale deployment/mediafleet-egress --replicas"
TROUBLES: Final = (
    Trouble("ImagePull", "Degraded", "correct `spec.image`", NO_IMAGE, mend=GOOD_IMAGE),
    Trouble(
        "ContainerConfig",
        "Degraded",
        "create it; kubelet tries again",
        _container(env=FROM_SECRET),
        after="create secret generic late --from-literal=x=1",
    ),
    Trouble(
        "CrashLoop",
        "Degraded",
        "`kubectl logs --previous`",
        _container(command=["sh", "-c", "echo ends; exit 3"]),
        mend=GOOD,
    ),
    Trouble("Unschedulable", "Degraded", "ask for less", _container(resources=PLENTY), mend=GOOD),
    Trouble(
        "AdmissionRefused",
        "Degraded",
        "change the template",
        {"template": {"spec": {**GOOD["template"]["spec"], "priorityClassName": "none"}}},
        mend={"template": {"spec": {"priorityClassName": None}}},
    ),
    Trouble(
        "RolloutStopped",
        "Progressing",
        "correct `spec.image`",
        {"update": {"maxFailures": 1}},
        later=NO_IMAGE,
        mend=GOOD_IMAGE,
        status="False",
    ),
    Trouble(
        "TemplateInvalid",
        "TemplateValid",
        "the message names the field",
        {"template": {"spec": {"containers": [{"name": "egress", "ports": "none"}]}}},
        mend=GOOD,
        status="False",
    ),
    Trouble(
        "EngineConflict",
        "TemplateValid",
        "give all fleets of that Redis the same engine",
        {"placement": {"engine": "native"}},
        mend={"placement": {"engine": "scheduler"}},
        status="False",
    ),
    Trouble(
        "ChildNotOurs",
        "Degraded",
        "delete it",
        before="create service clusterip NAME --tcp=80",
        after="delete service NAME",
        kind="opool",
    ),
    Trouble(
        "CpuNotDeclared",
        "CpuUnknown",
        "set `spec.placement.cpu`",
        {"placement": {"mode": "spread"}},
        mend={"placement": {"cpu": 16}},
    ),
    Trouble(
        "GraceBelowDrainTimeout",
        "GraceShort",
        "shorten `drain.timeout`",
        {"drain": {"settle": "2s", "timeout": "10m"}},
        mend={"drain": {"timeout": "15s"}},
    ),
    Trouble("Paused", "Paused", "`spec.paused`", {"paused": True}, mend={"paused": False}),
    Trouble(
        "AddressUnknown",
        "AddressReady",
        "the message says which",
        {"address": {"type": "load_balancer", "allowPrivate": True}},
        mend={"address": {"type": "pod_ip"}},
        kind="opool",
        status="False",
    ),
    Trouble(
        "HeadAway",
        "HeadReady",
        "correct `advertise.head`",
        {"advertise": {"head": {"address": "127.0.0.1:1"}}},
        mend={"advertise": {"head": None}},
        kind="opool",
        status="False",
    ),
    Trouble(
        "KedaMissing",
        "ScalingActive",
        "use engine `builtin`",
        {"autoscaling": {**AUTOSCALING, "engine": "keda"}},
        mend={"autoscaling": {"engine": "builtin"}},
        status="False",
    ),
    Trouble(
        "ScalerNotOurs",
        "ScalingActive",
        "set engine `none`",
        {"autoscaling": {**AUTOSCALING, "engine": "hpa"}},
        before="autoscale deployment mediafleet-egress --name=NAME-egress --max=1",
        mend={"autoscaling": {"engine": "none"}},
        status="False",
    ),
    Trouble(
        "QuotaExceeded",
        "Degraded",
        "raise the quota",
        before="create quota pods --hard=pods=0",
        after='patch quota pods --type=merge -p {"spec":{"hard":{"pods":"99"}}}',
        alone=True,
    ),
    Trouble(
        "PartRefused",
        "Degraded",
        "often a quota",
        before="create quota services --hard=services=0",
        after="delete quota services",
        kind="opool",
        alone=True,
    ),
    Trouble(
        "DeskUnreachable",
        "ScalingActive",
        "see whether its pods run",
        {"autoscaling": AUTOSCALING},
        before=f"{DESK}=0",
        after=f"{DESK}=1",
        status="False",
        alone=True,
    ),
    Trouble(
        "HostPortRefused",
        "AddressReady",
        "kubectl label ns NAME pod-security.kubernetes.io/enforce=privileged --overwrite",
        {
            "address": {
                "type": "host_port",
                "nodeAddress": "internal",
                "portRange": {"first": 31000, "last": 31009},
            }
        },
        after="label ns NAMESPACE pod-security.kubernetes.io/enforce=privileged --overwrite",
        kind="opool",
        status="False",
        alone=True,
    ),
)

TOGETHER: Final = [each for each in TROUBLES if not each.alone]


@pytest.fixture(scope="module")
def product(node: Node) -> Iterator[Product]:
    with Workspace.create(node, level="restricted") as workspace, deployed(node, workspace) as made:
        yield made


@pytest.fixture(scope="module")
def begun(product: Product) -> set[str]:
    """All that do not concern each other are brought about at once, since most only wait."""
    for each in TOGETHER:
        begin(product, each)
    return {each.reason for each in TOGETHER}


def kubectl(product: Product, command: str, name: str = "") -> None:
    """What a page writes after `kubectl`."""
    if command:
        filled = command.replace("NAMESPACE", product.namespace).replace("NAME", name)
        # JSON has quotes of its own, and no spaces.
        words = filled.split() if '"' in filled else shlex.split(filled)
        product.workspace.kubectl(*words)


def begin(product: Product, trouble: Trouble) -> None:
    kubectl(product, trouble.before, trouble.name)
    if trouble.kind == "opool":
        made = orchestrator_pool(trouble.name, 1, **trouble.spec)
    else:
        made = egress_fleet(trouble.name, product.redis, 1, **trouble.spec)
    product.workspace.apply(made)


def patch(product: Product, resource: str, spec: Json) -> None:
    if spec:
        body = json.dumps({"spec": spec})
        product.workspace.kubectl("patch", resource, "--type=merge", "-p", body)


def said(product: Product, trouble: Trouble) -> bool:
    """Whether the condition says it."""
    resource = f"{trouble.kind}/{trouble.name}"
    status = product.workspace.get(resource).get("status") or {}
    return any(
        (each["type"], each["status"], each["reason"])
        == (trouble.condition, trouble.status, trouble.reason)
        for each in status.get("conditions") or ()
    )


@pytest.mark.parametrize(
    "trouble", [*TOGETHER, *(each for each in TROUBLES if each.alone)], ids=str
)
def test_a_trouble_is_told_by_its_reason_and_ends_by_what_the_page_says(
    product: Product, begun: set[str], trouble: Trouble
) -> None:
    lines = re.findall(rf"^\| (?:\w+, )*{trouble.reason}(?:, \w+)* \|.*\|$", PAGE, re.M)
    assert trouble.page in (lines[0] if lines else PAGE), f"the page says otherwise: {lines}"
    resource = f"{trouble.kind}/{trouble.name}"
    if trouble.reason not in begun:
        begin(product, trouble)
    if trouble.later:
        product.workspace.wait("condition=Ready", resource, timeout_seconds=round(SECONDS))
        patch(product, resource, trouble.later)
    wait_for(f"{trouble} is told", lambda: said(product, trouble), timeout_seconds=SECONDS)
    patch(product, resource, trouble.mend)
    kubectl(product, trouble.after, trouble.name)
    wait_for(f"{trouble} is over", lambda: not said(product, trouble), timeout_seconds=SECONDS)
    product.workspace.wait("condition=Ready", resource, timeout_seconds=round(SECONDS))
    print(f"{trouble}: told, and over", flush=True)
    product.workspace.kubectl("delete", resource, "--wait=false")


def findings(product: Product, *options: str) -> list[Json]:
    """What doctor finds, by a process of its own."""
    command = [sys.executable, "-m", "mediafleet.main", "doctor", "-o", "json"]
    told = subprocess.run(
        product.node.inside_command(*command, *(options or ("-n", product.namespace))),
        env=product.node.environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert told.returncode in (0, 1), told.stderr
    found: list[Json] = json.loads(told.stdout)
    return found


CLI: Final = "exec redis -- redis-cli"
LOCK: Final = f"{CLI} CONFIG SET requirepass other"
"""Redis no longer takes who comes without a password."""
UNLOCK: Final = f"{CLI} -a other CONFIG SET requirepass ''"
AWAY: Final = "patch efleet watched --type=merge -p "
RULES: Final = REPOSITORY / "charts/mediafleet/monitoring/alerts.yaml"
ALERTS: Final = {
    "MediafleetRedisAway": (
        [LOCK, f"{CLI} -a other CLIENT KILL SKIPME yes"],
        [UNLOCK],
    ),
    "MediafleetNoLeader": (
        ["scale deployment/mediafleet-operator --replicas=0"],
        ["scale deployment/mediafleet-operator --replicas=1"],
    ),
    "MediafleetNoNodeListed": (
        ["scale opool/served --replicas=0"],
        ["scale opool/served --replicas=1"],
    ),
    "MediafleetDoesNotScale": (
        [AWAY + '{"spec":{"autoscaling":{"min":1,"max":2,"engine":"keda"}}}'],
        [AWAY + '{"spec":{"autoscaling":{"engine":"builtin"}}}'],
    ),
}
"""What brings each about, and what its section says against it."""


@dataclass(frozen=True)
class Alerts:
    """What Prometheus says of our pods as they now are."""

    product: Product
    url: str
    config: Path
    process: subprocess.Popen[bytes]
    hosts: list[str] = field(default_factory=list)
    """That it scrapes."""

    def firing(self) -> set[str]:
        """Names of alerts."""
        pods = self.product.workspace.get("pods")["items"]
        ours = [each["status"].get("podIP") for each in pods if _has_metrics(each)]
        hosts = [f"{ip}:{int(Port.DESK_HTTP)}" for ip in ours if ip]
        if hosts != self.hosts:
            self.hosts[:] = hosts
            job = {"job_name": "ours", "static_configs": [{"targets": hosts}]}
            settings = yaml.safe_load(self.config.read_text())
            self.config.write_text(yaml.safe_dump({**settings, "scrape_configs": [job]}))
            self.process.send_signal(signal.SIGHUP)
        told = _told(self.url) or ()
        return {each["labels"]["alertname"] for each in told if each["state"] == "firing"}


def _told(url: str) -> list[Json] | None:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            told: list[Json] = json.loads(answer.read())["data"]["alerts"]
            return told
    except OSError:
        return None


def _has_metrics(raw: Json) -> bool:
    ports = [each for one in raw["spec"]["containers"] for each in one.get("ports") or ()]
    return any(each["containerPort"] == Port.DESK_HTTP for each in ports)


@pytest.fixture(scope="module")
def alerts(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alerts]:
    """A Prometheus that scrapes all of the namespace, with the chart's rules in seconds for
    minutes."""
    debian.ensure({"prometheus": "prometheus"})
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    rules = re.sub(r"(for: |\[)\d+m", r"\g<1>10s", RULES.read_text())
    (folder / "rules.yaml").write_text(rules)
    settings = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{folder}/rules.yaml"],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(settings))
    product.workspace.apply(
        egress_fleet("watched", product.redis, 1), orchestrator_pool("served", 1)
    )
    for each in ("efleet/watched", "opool/served"):
        product.workspace.wait("condition=Ready", each, timeout_seconds=120)
    command = [
        "prometheus",
        f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            product.node.inside_command(*command), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}/api/v1/alerts"
        wait_for("Prometheus answers", lambda: _told(url) is not None)
        yield Alerts(product, url, folder / "prometheus.yaml", process)
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_fires_and_ends_after_what_its_section_says(
    product: Product, alerts: Alerts, alert: str
) -> None:
    make, mend = ALERTS[alert]
    wait_for("all is well", lambda: alerts.firing() == set(), timeout_seconds=SECONDS)
    for command in make:
        kubectl(product, command)
    wait_for(f"{alert} fires", lambda: alert in alerts.firing(), timeout_seconds=SECONDS)
    for command in mend:
        kubectl(product, command)
    wait_for(f"{alert} is over", lambda: alerts.firing() == set(), timeout_seconds=SECONDS)
    print(f"{alert}: fired, and over", flush=True)


@dataclass(frozen=True)
class Fault:
    """A finding of doctor: how it comes about, and what its section says against it."""

    page: str
    make: Sequence[str]
    mend: Sequence[str]
    redis: bool = False
    """Whether doctor is to look at the Redis."""

    def __str__(self) -> str:
        return self.page


HELM: Final = "helm upgrade"
FLEET: Final = "patch efleet found --type=merge -p "
FAULTS: Final = (
    Fault(
        "no-operator",
        ["scale deployment/mediafleet-operator --replicas=0"],
        ["scale deployment/mediafleet-operator --replicas=1"],
    ),
    Fault(
        "not-looked-at",
        [
            "scale deployment/mediafleet-operator --replicas=0",
            FLEET + '{"spec":{"replicas":2}}',
        ],
        ["scale deployment/mediafleet-operator --replicas=1"],
    ),
    Fault("service-without-pods", [f"{DESK}=0"], [f"{DESK}=1"]),
    Fault("missing-rights", ["delete rolebinding mediafleet-egress"], [HELM]),
    Fault(
        "deployment-not-ready",
        ["create quota full --hard=pods=0", f"{DESK}=2"],
        ["delete quota full", f"{DESK}=1"],
    ),
    Fault("different-images", ["set image deployment/mediafleet-operator *=other:1"], [HELM]),
    Fault(
        "certificate",
        ['patch secret mediafleet-scaler --type=merge -p {"data":{"tls.crt":"bm9uZQ=="}}'],
        ["delete secret mediafleet-scaler", HELM],
    ),
    Fault(
        "cost-above-cpus",
        [FLEET + '{"spec":{"placement":{"cpu":16,"cpuCost":{"roomComposite":17}}}}'],
        [FLEET + '{"spec":{"placement":{"cpuCost":{"roomComposite":4}}}}'],
    ),
    Fault("redis-away", [LOCK], [UNLOCK], redis=True),
    Fault(
        "redis-rights",
        [f"{CLI} ACL SETUSER default -evalsha -eval"],
        [f"{CLI} ACL SETUSER default +@all"],
        redis=True,
    ),
    Fault(
        "redis-server",
        [
            f"{CLI} CONFIG SET maxmemory 1gb",
            f"{CLI} CONFIG SET maxmemory-policy allkeys-lru",
        ],
        [f"{CLI} CONFIG SET maxmemory-policy noeviction"],
        redis=True,
    ),
)


@pytest.fixture(scope="module")
def found(product: Product) -> None:
    """A fleet for doctor."""
    product.workspace.apply(egress_fleet("found", product.redis, 1))
    product.workspace.wait("condition=Ready", "efleet/found", timeout_seconds=120)


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_doctor_finds_it_and_finds_it_no_more_after_what_its_section_says(
    product: Product, fault: Fault
) -> None:
    def pages() -> set[str]:
        options = ("--redis", f"redis://{product.redis}") if fault.redis else ()
        return {each["page"] for each in findings(product, *options) if each["level"] != "ok"}

    def run(commands: Sequence[str]) -> None:
        for command in commands:
            if command == HELM:
                upgrade(product)
            else:
                kubectl(product, command)

    run(fault.make)
    try:
        wait_for(f"{fault} is found", lambda: fault.page in pages(), timeout_seconds=SECONDS)
    finally:
        run(fault.mend)
    wait_for(f"{fault} is over", lambda: fault.page not in pages(), timeout_seconds=SECONDS)
    print(f"{fault}: found, and over", flush=True)

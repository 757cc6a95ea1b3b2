"""What the API server refuses, and whether its words name the field and the fix."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from tests.unit.operator.autoscaling.test_docs import PAGES, examples

from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.errors import CommandError
from mediafleet_testbed.node import Node
from mediafleet_testbed.paths import REPOSITORY

ROOT: Final = REPOSITORY
REDIS: Final = {"redis": {"address": "redis:6379"}}
EVENING: Final = {"start": "0 18 * * 1-5", "end": "0 23 * * MON-FRI", "timeZone": "Europe/Berlin"}

BAD_AUTOSCALING: Final[list[tuple[dict[str, Any], tuple[str, ...]]]] = [
    ({}, ("autoscaling.max is needed",)),
    ({"engine": "keda"}, ("autoscaling.max is needed",)),
    ({"min": 3, "max": 2}, ("lower min or raise max",)),
    ({"engine": "hpa", "min": 0, "max": 2}, ("set min to 1 or more",)),
    ({"engine": "cpu", "max": 2}, ("engine", '"builtin"')),
    ({"max": 2, "buffer": {"percent": 501}}, ("buffer.percent", "500")),
    (
        {"engine": "keda", "max": 2, "buffer": {"percent": 10}},
        ("buffer.percent is not for engine keda", "utilization"),
    ),
    ({"engine": "keda", "max": 2, "metric": "sessions"}, ("autoscaling.target", "per pod")),
    (
        {"engine": "keda", "max": 2, "metric": "utilization", "target": 120},
        ("from 0.01 to 1",),
    ),
    ({"engine": "keda", "max": 2, "target": 0.5}, ("at least 1",)),
    ({"max": 2, "schedule": [{**EVENING, "min": 3}]}, ("each window needs min <= max",)),
    ({"max": 2, "schedule": [{**EVENING, "min": 3, "max": 2}]}, ("lower min or raise max",)),
    ({"max": 2, "schedule": [{**EVENING, "min": 1, "start": "6pm"}]}, ("five fields",)),
    ({"max": 2, "schedule": [{**EVENING, "min": 1, "timeZone": "+2"}]}, ("Europe/Berlin",)),
    (
        {"max": 2, "schedule": [{"start": "0 1 * * *", "end": "0 1 * * *", "min": 1}]},
        ("start and end are the same",),
    ),
    ({"max": 2, "behavior": {"scaleDown": {"stabilization": "5 min"}}}, ("30s",)),
    (
        {"engine": "hpa", "max": 2, "hpa": {"matchLabels": {"fleet": "media/rec"}}},
        ("hpa.matchLabels",),
    ),
]
ETH: Final = {
    "ethOrchAddr": "0x" + "12" * 20,
    **{
        name: {"name": "eth", "key": "x"}
        for name in ("keySecret", "passwordSecret", "rpcUrlSecret")
    },
}
PORTS: Final = {"portRange": {"first": 31000, "last": 31001}}
BAD_POOLS: Final[list[tuple[dict[str, Any], tuple[str, ...]]]] = [
    ({"address": {"type": "host_port"}}, ("host_port needs address.portRange", "first: 20000")),
    (
        {"address": {"portRange": {"first": 2, "last": 1}}},
        ("portRange.first must not be above portRange.last",),
    ),
    (
        {"replicas": 3, "address": {"type": "node_port", **PORTS}},
        ("replicas is more than address.portRange has ports",),
    ),
    ({"load": "url"}, ("load url needs loadUrl", "http://127.0.0.1")),
    ({"args": ["-v=6", "--cliAddr=0.0.0.0:7935"]}, ("spec.args", "moves money")),
    ({"onChain": ETH}, ("spec.onChain", "redeemerAddr or volume", "winning tickets")),
    (
        {"onChain": {**ETH, "redeemerAddr": "r:1", "rewards": "head"}},
        ("rewards head needs advertise.mode flag",),
    ),
    (
        {"advertise": {"mode": "flag", "head": {"address": "h:1"}}},
        ("advertise.head needs mode live",),
    ),
    (
        {"advertise": {"mode": "flag", "sources": [{"name": "a", "listUrl": "http://x"}]}},
        ("sources have urls alone",),
    ),
]
MODEL: Final = {"pipeline": "llm", "model": "a"}
SERVING: Final = {"secret": {"name": "broker", "key": "secret"}, "models": [MODEL]}
BAD: Final[list[tuple[str, dict[str, Any], tuple[str, ...]]]] = [
    ("EgressFleet", {"redis": {"ref": "main", "db": 2}}, ("spec.redis", "of a declared Redis")),
    ("EgressFleet", {"redis": {"ref": "A b"}}, ("spec.redis.ref", "name of a declared Redis")),
    (
        "EgressFleet",
        {"redis": {"address": "a:1", "cluster": {"addresses": ["b:1"]}}},
        ("spec.redis", "one of ref, address, sentinel and cluster"),
    ),
    (
        "EgressFleet",
        {**REDIS, "placement": {"mode": "Spread"}},
        ("spec.placement.mode", '"spread"'),
    ),
    ("EgressFleet", {**REDIS, "rooms": ["*" * 9]}, ("spec.rooms[0]", "at most eight *")),
    ("EgressFleet", {**REDIS, "replicas": -1}, ("spec.replicas", "greater than or equal to 0")),
    ("EgressFleet", {**REDIS, "drain": {"timeout": "1 hour"}}, ("spec.drain.timeout", "30s")),
    ("EgressFleet", {**REDIS, "egressConfig": {}}, ("spec.egressConfig", "secret or a configMap")),
    ("EgressFleet", {**REDIS, "drian": {}}, ("drian",)),
    ("OrchestratorPool", {"address": {"type": "template"}}, ("address.template", "https://")),
    ("OrchestratorPool", {"load": "guess"}, ("spec.load", '"transcode"')),
    (
        "OrchestratorPool",
        {"advertise": {"ethAddress": "0x12"}},
        ("spec.advertise.ethAddress", "40 hex"),
    ),
    *(("OrchestratorPool", spec, words) for spec, words in BAD_POOLS),
    ("AIWorkerPool", {**SERVING, "models": []}, ("spec.models", "at least 1")),
    ("AIWorkerPool", {**SERVING, "models": [MODEL, MODEL]}, ("spec.models[1]", "Duplicate")),
    (
        "AIWorkerPool",
        {**SERVING, "models": [{**MODEL, "model": "a b"}]},
        ("models[0].model", "without spaces"),
    ),
    (
        "AIWorkerPool",
        {**SERVING, "autoscaling": {"max": 2, "buffer": {"type": "room_composite"}}},
        ("autoscaling.buffer.type is not for an AIWorkerPool",),
    ),
    (
        "AIWorkerPool",
        {**SERVING, "models": [{**MODEL, "port": 7941}], "stockWorker": {}},
        ("models[].port", "listen on another"),
    ),
    *(
        ("EgressFleet", {**REDIS, "autoscaling": spec}, ("spec.autoscaling", *words))
        for spec, words in BAD_AUTOSCALING
    ),
    (
        "EgressFleet",
        {**REDIS, "accepts": ["web"], "autoscaling": {"max": 2, "buffer": {"type": "track"}}},
        ("buffer.type must be one of accepts",),
    ),
    (
        "EgressFleet",
        {**REDIS, "autoscaling": {"max": 2, "buffer": {"type": "session"}}},
        ("session is for an OrchestratorPool",),
    ),
    (
        "OrchestratorPool",
        {"autoscaling": {"max": 2, "buffer": {"type": "web"}}},
        ("buffer.type of an OrchestratorPool is session",),
    ),
    (
        "OrchestratorPool",
        {"autoscaling": {"min": 0, "max": 2}},
        ("autoscaling.min 0 needs a schedule",),
    ),
    (
        "OrchestratorPool",
        {"autoscaling": {"engine": "keda", "max": 2, "metric": "queue"}},
        ("use sessions or slots",),
    ),
]
GOOD_AUTOSCALING: Final[list[dict[str, Any]]] = [
    {"max": 3},
    {"engine": "none"},
    {"min": 0, "max": 3, "schedule": [{**EVENING, "min": 3}]},
    {"engine": "keda", "min": 0, "max": 3, "metric": "utilization", "target": 0.7},
    {"engine": "keda", "max": 3, "metric": "sessions", "target": 0.5},
    {"engine": "hpa", "max": 3},
]


@pytest.fixture(autouse=True)
def crds(node: Node) -> None:
    node.kubectl("apply", "-f", str(ROOT / "crds"), "--server-side", "--force-conflicts")
    for name in ("egressfleets", "orchestratorpools", "aiworkerpools"):
        node.kubectl("wait", "--for=condition=Established", f"crd/{name}.mediafleet.dev")


def test_a_bad_resource_is_refused_with_the_field_and_the_fix(workspace: Workspace) -> None:
    wrong: list[str] = []
    for kind, spec, words in BAD:
        resource = {
            "apiVersion": "mediafleet.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": "bad"},
            "spec": spec,
        }
        try:
            arguments = ("apply", "--dry-run=server", "--validate=strict", "-f", "-")
            workspace.kubectl(*arguments, stdin=json.dumps(resource))
        except CommandError as error:
            missing = [word for word in words if word not in str(error)]
            wrong += [f"{kind} {spec}: {missing} not in: {error}"] if missing else []
        else:
            wrong.append(f"{kind} {spec}: accepted")

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("spec", GOOD_AUTOSCALING, ids=str)
def test_autoscaling_is_accepted(workspace: Workspace, spec: dict[str, Any]) -> None:
    resource = {
        "apiVersion": "mediafleet.dev/v1alpha1",
        "kind": "EgressFleet",
        "metadata": {"name": "good"},
        "spec": {**REDIS, "autoscaling": spec},
    }
    arguments = ("apply", "--dry-run=server", "--validate=strict", "-f", "-")
    workspace.kubectl(*arguments, stdin=json.dumps(resource))


def test_the_samples_are_accepted(workspace: Workspace) -> None:
    for sample in sorted((ROOT / "samples").glob("*.yaml")):
        workspace.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(sample))


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_on_autoscaling_shows_can_be_pasted(workspace: Workspace, page: str) -> None:
    for each in examples(page):
        arguments = ("apply", "--dry-run=server", "--validate=strict", "-f", "-")
        workspace.kubectl(*arguments, stdin=json.dumps(each))


def test_every_field_is_explained(node: Node) -> None:
    text = node.kubectl("explain", "efleet.spec", "--recursive")

    assert "maxCpuUtilization" in text
    assert "Share of a pod's CPUs" in node.kubectl("explain", "efleet.spec.placement")

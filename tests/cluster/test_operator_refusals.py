"""What the API server refuses, and whether its words name the field and the fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from mediafleet_testbed.errors import CommandError
from mediafleet_testbed.node import Node
from mediafleet_testbed.workspace import Workspace

ROOT: Final = Path(__file__).resolve().parents[2]
REDIS: Final = {"redis": {"address": "redis:6379"}}

BAD: Final[list[tuple[str, dict[str, Any], tuple[str, ...]]]] = [
    ("EgressFleet", {}, ("spec.redis", "Required")),
    ("EgressFleet", {"redis": {}}, ("spec.redis", "an address (host:port), a sentinel or")),
    (
        "EgressFleet",
        {"redis": {"address": "a:1", "cluster": {"addresses": ["b:1"]}}},
        ("spec.redis", "one of address, sentinel and cluster"),
    ),
    (
        "EgressFleet",
        {**REDIS, "placement": {"mode": "Spread"}},
        ("spec.placement.mode", '"spread"'),
    ),
    ("EgressFleet", {**REDIS, "replicas": -1}, ("spec.replicas", "greater than or equal to 0")),
    ("EgressFleet", {**REDIS, "drain": {"timeout": "1 hour"}}, ("spec.drain.timeout", "30s")),
    ("EgressFleet", {**REDIS, "egressConfig": {}}, ("spec.egressConfig", "secret or a configMap")),
    ("EgressFleet", {**REDIS, "drian": {}}, ("drian",)),
    ("OrchestratorPool", {"address": {"type": "template"}}, ("address.template", "https://")),
    ("OrchestratorPool", {"load": "guess"}, ("spec.load", '"transcode"')),
    ("OrchestratorPool", {"advertise": {"ethAddress": "0x12"}}, ("spec.advertise.ethAddress",)),
]


@pytest.fixture(autouse=True)
def crds(node: Node) -> None:
    node.kubectl("apply", "-f", str(ROOT / "crds"), "--server-side", "--force-conflicts")
    for name in ("egressfleets", "orchestratorpools"):
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


def test_the_samples_are_accepted(workspace: Workspace) -> None:
    for sample in sorted((ROOT / "samples").glob("*.yaml")):
        workspace.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(sample))


def test_every_field_is_explained(node: Node) -> None:
    text = node.kubectl("explain", "efleet.spec", "--recursive")

    assert "maxCpuUtilization" in text
    assert "Share of a pod's CPUs" in node.kubectl("explain", "efleet.spec.placement")

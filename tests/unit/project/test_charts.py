"""The charts and samples, as far as they can be judged without helm."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.kit.operator.rights import granted, table

from mediafleet_common.api import crds
from mediafleet_common.api.ai_worker_pool import Broker
from mediafleet_common.api.names import API_VERSION, Kind, Port
from mediafleet_operator.kube import digest
from mediafleet_operator.manifests.children.reporter import manifests
from mediafleet_operator.manifests.pods.pod import Product, problem
from mediafleet_operator.rounds.community.round import sharing_of
from mediafleet_testbed.paths import REPOSITORY

ROOT = REPOSITORY
CHART = ROOT / "charts/mediafleet"
SAMPLES = sorted((ROOT / "samples").glob("*.yaml"))
TEMPLATES = sorted((CHART / "templates").rglob("*.*"))
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, or what its reference names."""
    name = schema.get("$ref", "").rsplit("/", 1)[-1]
    return SCHEMA["definitions"][name] if name else schema


def differences(values: object, schema: dict[str, Any], path: str) -> Iterator[str]:
    """Keys that only one of the default values and the schema knows."""
    schema = resolve(schema)
    if not isinstance(values, dict) or "properties" not in schema:
        return
    assert schema["additionalProperties"] is False, f"{path} takes any key"
    known = schema["properties"]
    for name in sorted(values.keys() ^ known.keys()):
        yield f"{path}.{name}"
    for name in values.keys() & known.keys():
        yield from differences(values[name], known[name], f"{path}.{name}")


def test_the_schema_knows_the_default_values_and_no_others() -> None:
    # `global` is helm's own; `claims` are resources that few pods have.
    unset = [".global"]
    unset += [f".{each}.resources.claims" for each in ("operator", "egress", "broker")]
    secrets = ("secret", "workersFile", "runnerToken", "apiToken", "redis.passwordSecret")
    unset += [f".broker.{each}.{part}" for each in secrets for part in ("key", "name")]
    unset += [f".community.origins.passwordSecret.{part}" for part in ("key", "name")]
    unset += [f".community.collector.page.tokenSecret.{part}" for part in ("key", "name")]
    assert sorted(differences(VALUES, SCHEMA, "")) == sorted(unset)


def test_every_value_that_a_template_reads_has_a_default() -> None:
    missing = []
    for path in TEMPLATES:
        for dotted in re.findall(r"\.Values\.([A-Za-z.]+)", path.read_text(encoding="utf-8")):
            value: Any = VALUES
            for name in dotted.split("."):
                value = value.get(name, ...) if isinstance(value, dict) else ...
            if value is ...:
                missing.append(f"{path.name}: {dotted}")
    assert missing == []


def test_operator_and_desk_take_the_same_settings_of_a_workload() -> None:
    assert VALUES["egress"].keys() - VALUES["operator"].keys() == {
        "enabled",
        "allowUndeclaredRedis",
        "maxPriority",
        "redis",
        "scaler",
    }
    assert VALUES["operator"].keys() <= VALUES["egress"].keys()
    assert VALUES["operator"].keys() <= VALUES["broker"].keys()


def test_both_components_have_a_second_replica_and_lose_one_at_a_time() -> None:
    for component in ("operator", "egress"):
        assert VALUES[component]["replicas"] == 2
        budget = VALUES[component]["podDisruptionBudget"]
        assert (budget["enabled"], budget["maxUnavailable"]) == (True, 1)


def test_charts_and_distribution_have_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for chart in ("mediafleet", "mediafleet-crds"):
        about = yaml.safe_load((ROOT / "charts" / chart / "Chart.yaml").read_text(encoding="utf-8"))
        assert (about["version"], about["appVersion"]) == (project["version"], project["version"])


def test_the_one_right_on_secrets_is_the_operators_to_create_one() -> None:
    of_secrets = [
        (part, verb)
        for part in table()
        for _, resource, verb in granted(part)
        if resource.startswith("secrets")
    ]
    assert of_secrets == [("operator", "create")]


def test_no_rule_has_a_wildcard_or_reads_secrets_or_runs_commands() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in TEMPLATES)
    rules = [line for line in text.splitlines() if re.search(r"(resources|verbs|apiGroups):", line)]
    assert rules
    written = [set(re.findall(r"[a-z./*]+", line.split(":", 1)[1])) for line in rules]
    forbidden = {"pods/exec", "pods/attach", "escalate", "bind", "impersonate", "*"}
    for words in (*written, *map(set, (right for part in table() for right in granted(part)))):
        assert not words & forbidden


def test_helm_leaves_the_resources_as_they_are() -> None:
    """Braces in descriptions and CEL rules must not read as template actions."""
    for text in crds.render().values():
        assert "{{" not in text


def test_probes_and_monitors_use_the_ports_that_the_code_uses() -> None:
    workload = (CHART / "templates/_workload.tpl").read_text(encoding="utf-8")
    assert f"containerPort: {Port.DESK_HTTP}" in workload
    monitors = (CHART / "templates/monitors.yaml").read_text(encoding="utf-8")
    for kind, port in (
        ("egress", Port.EGRESS_METRICS),
        ("orchestrator", Port.AGENT),
        ("advertiser", Port.DESK_HTTP),
        ("ai-worker", Port.AGENT),
    ):
        assert f'"{kind}" {port}' in monitors


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def ours(path: Path) -> list[dict[str, Any]]:
    return [part for part in documents(path) if part["apiVersion"] == API_VERSION]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_what_the_models_accept(path: Path) -> None:
    for document in ours(path):
        body = {key: document[key] for key in ("kind", "spec")}
        crds.MODELS[Kind(document["kind"])].model_validate(body, by_alias=True, by_name=False)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_pods_or_a_reporter_can_be_made_of_a_sample(path: Path) -> None:
    for document in ours(path):
        given = {"namespace": "default", "uid": "u", "resourceVersion": "1"}
        raw = {**document, "metadata": {**document["metadata"], **given}}
        if document["kind"] == Kind.COMMUNITY_METRICS:
            assert manifests(sharing_of(raw), Product("mediafleet:dev"))
            continue
        resource = digest.resource(raw, Kind(document["kind"]))
        assert (
            problem(
                resource, Product("mediafleet:dev", broker=Broker(address="broker.media.svc:8935"))
            )
            is None
        )


@pytest.mark.parametrize("name", ["egress-fleet", "orchestrator-pool", "ai-worker-pool"])
def test_a_plain_sample_is_about_ten_lines(name: str) -> None:
    lines = (ROOT / f"samples/{name}.yaml").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if not line.startswith("#")]) <= 10


def fields(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, part in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from fields(part, f"{path}.{name}")


def keys(value: object, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield f"{path}.{name}"
            yield from keys(part, f"{path}.{name}")


@pytest.mark.parametrize(
    ("name", "kind", "alternatives"),
    [
        (
            "egress-fleet-full",
            Kind.EGRESS_FLEET,
            (
                *(".redis.ref", ".redis.sentinel", ".redis.cluster", ".redis.password"),
                ".egressConfig.configMap",
            ),
        ),
        ("orchestrator-pool-full", Kind.ORCHESTRATOR_POOL, (".template.metadata",)),
        ("ai-worker-pool-full", Kind.AI_WORKER_POOL, (".autoscaling.buffer.type",)),
        ("community-metrics-full", Kind.COMMUNITY_METRICS, ("nothing",)),
    ],
)
def test_a_full_sample_names_every_field(
    name: str, kind: Kind, alternatives: tuple[str, ...]
) -> None:
    """`alternatives` exclude what is set, and stand there as comments."""
    path = ROOT / f"samples/{name}.yaml"
    version = crds.crd(kind)["spec"]["versions"][0]
    wanted = set(fields(version["schema"]["openAPIV3Schema"]["properties"]["spec"]))
    missing = wanted - set(keys(ours(path)[0]["spec"]))
    assert sorted(field for field in missing if not field.startswith(alternatives)) == []

"""The prometheus-adapter rule of docs/autoscaling/hpa.md finds what the operator exports.

Scraped, selected and queried as the adapter does it: its template fills `<<.Series>>` and
`<<.LabelMatchers>>` from the HPA's metric (prometheus-adapter docs/externalmetrics.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.operator.manifests.test_scaling import EGRESS, asked, resource

from mediafleet_common.api.names import Kind, Reason
from mediafleet_common.api.scaling.autoscaling import Engine
from mediafleet_operator.core.autoscaling.model import Past, Scaling
from mediafleet_operator.core.autoscaling.schedule import Bounds
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.core.fleet.state import FleetState
from mediafleet_operator.manifests.children.scaling import hpa
from mediafleet_operator.rounds.counters import ScaleCounts
from mediafleet_operator.rounds.metrics import OperatorMetrics
from mediafleet_testbed.paths import REPOSITORY

PAGE: Final = REPOSITORY / "docs/autoscaling/hpa.md"
QUERY: Final = re.compile(r"max\((\w+)\{([^}]*)\}\)")
WANTED: Final = 7


def rule() -> dict[str, Any]:
    """The rule on the page."""
    text = PAGE.read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(externalRules:.*?)```", text, re.DOTALL)
    (found,) = yaml.safe_load(block)["externalRules"]
    return dict(found)


REGISTRY = CollectorRegistry()
METRICS = OperatorMetrics(REGISTRY)


@pytest.fixture
def fleet() -> Iterator[FleetKey]:
    """The fleet of the HPA, exported beside others that differ in one label each."""
    key = resource(EGRESS).key
    others = [
        FleetKey(Kind.ORCHESTRATOR_POOL, key.namespace, key.name),
        FleetKey(key.kind, "elsewhere", key.name),
        FleetKey(key.kind, key.namespace, "another"),
    ]
    counts = ScaleCounts(METRICS)
    for pods, each in enumerate([key, *others], WANTED):
        past = Past(replicas=1)
        scaling = Scaling(Engine.HPA, True, Reason.AUTOSCALING, "", past, pods)
        counts.count(each, FleetState("uid"), scaling, 1.0, 1)
    yield key
    for each in (key, *others):
        counts.forget(each)


def found(query: str) -> list[float]:
    """What a query of the rule's form selects of our exposition."""
    matched = QUERY.fullmatch(query)
    assert matched is not None, query
    series, matchers = matched.groups()
    labels = dict(re.findall(r'(\w+)="([^"]*)"', matchers))
    text = generate_latest(REGISTRY).decode()
    return [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == series and labels.items() <= sample.labels.items()
    ]


def test_the_rule_and_the_hpa_together_select_the_one_fleet(fleet: FleetKey) -> None:
    metric = hpa(resource(EGRESS), asked("hpa"), Bounds(2, 30))["spec"]["metrics"][0]["external"]
    named, selector = metric["metric"]["name"], metric["metric"]["selector"]["matchLabels"]
    said = rule()
    assert said["name"]["as"] == named
    matchers = ",".join(f'{name}="{value}"' for name, value in sorted(selector.items()))
    query = said["metricsQuery"].replace("<<.Series>>", said["seriesQuery"])
    assert found(query.replace("<<.LabelMatchers>>", matchers)) == [float(WANTED)]
    assert metric["target"] == {"type": "AverageValue", "averageValue": "1"}


def test_the_rule_adds_no_namespace_of_its_own(fleet: FleetKey) -> None:
    """Else the adapter would ask for label `namespace`, which the scrape gives the operator's."""
    del fleet
    assert rule()["resources"] == {"namespaced": False}

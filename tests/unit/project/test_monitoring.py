"""Dashboards and alert rules name what our processes export, and pages of the runbook."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs import dashboards, generate
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from mediafleet_scheduler.core.community import rendering

ROOT = dashboards.ROOT
RULES: list[dict[str, Any]] = yaml.safe_load((dashboards.FOLDER / "alerts.yaml").read_text())[
    "groups"
][0]["rules"]
QUERIES = [*(query for _, _, query in dashboards.shown()), *(str(each["expr"]) for each in RULES)]
OTHER_LABELS = {"le"}
"""Of histograms."""


def exported() -> dict[str, set[str]]:
    """Labels by name of each metric, and of each series of a histogram."""
    found: dict[str, set[str]] = {}
    for path in (path for name in generate.PACKAGES for path in (ROOT / name).rglob("*.py")):
        for name, kind, labels, _ in generate.declared(path.read_text(encoding="utf-8")):
            plain = name.strip("`")
            ends = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            for end in ends:
                names = {each for each in labels.strip("`").split(", ") if each}
                found.setdefault(plain + end, set()).update(names)
    text = Path(rendering.__file__).read_text()
    community = re.findall(r'"(mediafleet_community_\w+)":', text)
    their_labels: set[str] = set(re.findall(r'(\w+)="\{', text))
    return {**found, **dict.fromkeys(community, their_labels)}


EXPORTED = exported()


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_names_metrics_and_labels_that_exist(query: str) -> None:
    named = re.findall(r"mediafleet_\w+", query)
    assert named
    assert [each for each in named if each not in EXPORTED] == []
    known = OTHER_LABELS.union(*(EXPORTED[each] for each in named))
    grouped = [each for by in re.findall(r"by \(([^)]+)\)", query) for each in by.split(", ")]
    chosen = re.findall(r"[{,]\s*(\w+)=", query)
    assert {*grouped, *chosen} <= known


@pytest.mark.parametrize("name", dashboards.DASHBOARDS)
def test_a_dashboard_is_as_it_is_drawn_up(name: str) -> None:
    """Else: python -m docs.dashboards."""
    text = (dashboards.FOLDER / f"{name}.json").read_text()
    assert text == dashboards.text(name)
    made = json.loads(text)
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"]) > 0


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_has_its_page_in_the_runbook(rule: dict[str, Any]) -> None:
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    heads = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.M)
    assert anchor == rule["alert"].lower()
    assert rule["alert"] in heads
    assert rule["labels"]["severity"] in ("warning", "critical")


def unknown_to_grafana(ours: Any, known: Any, path: str = "") -> Iterator[str]:
    """What of ours is missing or another in what Grafana's schema kept of it."""
    if isinstance(ours, dict):
        for key, value in ours.items():
            if not isinstance(known, dict) or key not in known:
                yield f"{path}.{key}"
            else:
                yield from unknown_to_grafana(value, known[key], f"{path}.{key}")
    elif isinstance(ours, list):
        for number, (value, kept) in enumerate(zip(ours, known, strict=True)):
            yield from unknown_to_grafana(value, kept, f"{path}[{number}]")
    elif ours != known:
        yield f"{path}: {ours} is not {known}"


@pytest.mark.parametrize("name", dashboards.DASHBOARDS)
def test_grafanas_schema_knows_all_of_a_dashboard(name: str) -> None:
    ours = dashboards.dashboard(name)
    read = Dashboard.from_json(copy.deepcopy(ours))
    known = json.loads(json.dumps(read, cls=JSONEncoder))
    assert list(unknown_to_grafana(ours, known)) == []


def test_the_schema_finds_a_field_that_grafana_does_not_have() -> None:
    odd = {**dashboards.dashboard("list"), "tittle": "x"}
    known = json.loads(json.dumps(Dashboard.from_json(copy.deepcopy(odd)), cls=JSONEncoder))
    assert list(unknown_to_grafana(odd, known)) == [".tittle"]

"""Dashboards and alert rules name what our processes export, and pages of the runbook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs import dashboards, generate

from mediafleet_scheduler.core.community import rendering

ROOT = dashboards.ROOT
RULES: list[dict[str, Any]] = yaml.safe_load((dashboards.FOLDER / "alerts.yaml").read_text())[
    "groups"
][0]["rules"]
QUERIES = [*dashboards.queries(), *(str(each["expr"]) for each in RULES)]
OTHER_LABELS = {"le", "region"}
"""Of histograms, and of what is shared with others."""


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
    community = re.findall(r'"(mediafleet_community_\w+)":', Path(rendering.__file__).read_text())
    return {**found, **{name: set() for name in community}}


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

"""The samples for remote write let out what is shared, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.kit.community import sent

from mediafleet_scheduler.core.community.cells import WORLD, country
from mediafleet_scheduler.core.community.publishing import Figures, HourRecord, OwnFigures
from mediafleet_scheduler.core.community.rendering import Shared, as_prometheus

SAMPLES = Path(__file__).parents[3] / "samples/community"
EVERYTHING = Figures(average=10, maximum=20, streaming=(3, 5), asking=(6, 10))
HOUR = HourRecord(0, 3, {WORLD: EVERYTHING, country("de"): EVERYTHING}, (), OwnFigures(10, 15))


def rules(name: str) -> list[dict[str, Any]]:
    """The relabelling of a sample."""
    read = yaml.safe_load((SAMPLES / name).read_text(encoding="utf-8"))
    found = read["remote_write"][0]["write_relabel_configs"] if isinstance(read, dict) else read
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("name", ["relabel.yaml", "prometheus-agent.yaml"])
def test_every_series_of_the_preview_leaves_as_it_is_under_the_operators_name(name: str) -> None:
    text = as_prometheus(Shared("eu-west", OwnFigures(10, 15), [HOUR]))
    families = list(text_string_to_metric_families(text))
    assert len(families) == 5
    for sample in (each for family in families for each in family.samples):
        series = {"__name__": sample.name, **sample.labels, "operator": "example"}
        scraped = {**series, "instance": "192.0.2.1:8080", "job": "community"}
        assert sent(scraped, rules(name)) == series


@pytest.mark.parametrize("name", ["relabel.yaml", "prometheus-agent.yaml"])
@pytest.mark.parametrize(
    "metric", ["up", "scrape_duration_seconds", "process_cpu_seconds_total", "mediafleet_nodes"]
)
def test_no_other_series_leaves(name: str, metric: str) -> None:
    assert sent({"__name__": metric, "operator": "example"}, rules(name)) is None


def test_both_clients_send_the_same() -> None:
    assert rules("relabel.yaml") == rules("prometheus-agent.yaml")

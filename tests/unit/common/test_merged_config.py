"""What an egress pod's init container tells of its config."""

from __future__ import annotations

from typing import Any

import pytest

from mediafleet_common.api.egress_fleet import Memory, Placement
from mediafleet_common.reports.merged_config import MergedConfig, of_pod, of_text, to_text

TOLD = MergedConfig(45.0, {"track_cpu_cost": 0.5, "max_memory": 8.0})


def status(message: str, name: str = "config") -> dict[str, Any]:
    ended = {"terminated": {"exitCode": 0, "message": message}}
    return {"initContainerStatuses": [{"name": name, "state": ended}]}


def test_it_comes_back_from_the_status_of_the_pod() -> None:
    assert of_pod(status(to_text(TOLD)), "config") == TOLD
    assert len(to_text(TOLD)) < 4096, "kubelet keeps no more"


@pytest.mark.parametrize(
    "raw", [{}, status(""), status(to_text(TOLD), "mine"), {"initContainerStatuses": None}]
)
def test_a_pod_of_an_older_release_tells_nothing(raw: dict[str, Any]) -> None:
    assert of_pod(raw, "config") is None


@pytest.mark.parametrize(
    "text", ["[]", "x", '{"cpu_cost": 5}', '{"cpu_cost": {"a": "b"}}', '{"cpu_cost": {"a": 1e999}}']
)
def test_what_makes_no_sense_is_nothing(text: str) -> None:
    assert of_text(text) is None


@pytest.mark.parametrize("seconds", ["-1", "0", "1e9"])
def test_a_time_that_makes_no_sense_is_unknown(seconds: str) -> None:
    told = of_text(f'{{"cpu_cost": {{}}, "io_update_seconds": {seconds}}}')
    assert told == MergedConfig(None, {})


def test_costs_that_the_fleet_counts_otherwise_are_named() -> None:
    placement = Placement(memory=Memory(max_gb=8))
    same = MergedConfig(30.0, placement.egress_costs())
    assert same.differences(placement.egress_costs()) == []
    assert same.differences(Placement().egress_costs()) == ["max_memory"]

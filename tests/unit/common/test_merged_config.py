"""What an egress pod's init container tells of its config."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.api.egress.costs import CpuCost, Limits, Memory, RequestType
from mediafleet_common.api.egress.placement import Mode, Placement
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


@given(
    cpu=st.fixed_dictionaries({kind.value: st.floats(0.1, 64) for kind in RequestType}),
    memory=st.none() | st.tuples(st.floats(1.5, 64), st.floats(0, 8)),
    utilization=st.floats(0.1, 1),
    clients=st.integers(1, 200),
)
def test_a_pods_costs_are_what_its_placement_was(
    cpu: dict[str, float], memory: tuple[float, float] | None, utilization: float, clients: int
) -> None:
    then = Placement(
        cpu_cost=CpuCost.model_validate(cpu),
        memory=Memory(max_gb=memory[0], cost_gb=memory[1]) if memory else None,
        max_cpu_utilization=utilization,
        max_pulse_clients=clients,
    )
    told = of_text(to_text(MergedConfig(30.0, then.egress_costs())))
    assert told is not None
    today = Placement(mode=Mode.SPREAD, limits=Limits(web=2))
    counted = today.counting_by(told.costs)
    assert counted.egress_costs() == pytest.approx(then.egress_costs())
    assert (counted.mode, counted.limits) == (today.mode, today.limits)


def test_what_a_config_leaves_out_counts_as_egress_counts_it() -> None:
    today = Placement(cpu_cost=CpuCost(track=3.0), max_cpu_utilization=0.5, max_pulse_clients=5)
    assert today.counting_by({"track_cpu_cost": 0.0, "max_memory": 0.0}) == Placement()
    own = today.counting_by({"audio_room_composite_cpu_cost": 2.0, "max_memory": 8.0})
    assert own.cpu_cost.of(RequestType.SDK_AUDIO_ROOM_COMPOSITE) == 2.0
    assert own.memory == Memory(max_gb=8.0)


@pytest.mark.parametrize("costs", [{"track_cpu_cost": 1e9}, {"max_memory": 0.5}])
def test_costs_that_no_pod_can_work_with_are_not_taken(costs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Placement().counting_by(costs)

"""What jobs are counted with: by the fleet's table, and as a pod's own config says."""

from __future__ import annotations

import pytest

from mediafleet_common.api.egress.costs import CpuCost, Limits, Memory, RequestType
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.formats.quantities import quantity

SDK, TRACK = RequestType.SDK_AUDIO_ROOM_COMPOSITE, RequestType.TRACK


def test_audio_without_a_page_costs_as_audio_with_one_unless_it_is_said() -> None:
    assert CpuCost(audio_room_composite=1.5).of(SDK) == 1.5
    assert CpuCost(audio_room_composite=1.5, sdk_audio_room_composite=0.2).of(SDK) == 0.2
    assert Memory(max_gb=8, cost_gb=0.5).of(SDK) == 0.5
    light = Memory(max_gb=8, cost_gb=0.5, sdk_audio_cost_gb=0.0)
    assert (light.of(SDK), light.of(TRACK)) == (0.0, 0.5)


def test_a_type_without_a_limit_has_none() -> None:
    limits = Limits(web=0)
    assert (limits.of(RequestType.WEB), limits.of(TRACK)) == (0, None)


def test_a_browser_renders_pages_alone() -> None:
    assert {kind.value for kind in RequestType if kind.needs_chrome} == {
        "room_composite",
        "audio_room_composite",
        "web",
        "audio_web",
    }


def test_what_the_desk_counts_by_is_what_a_pods_config_is_told_under_egress_own_keys() -> None:
    told = Placement(memory=Memory(max_gb=8, cost_gb=0.5, sdk_audio_cost_gb=0.25)).egress_costs()
    assert told == {
        "room_composite_cpu_cost": 4.0,
        "audio_room_composite_cpu_cost": 1.0,
        "sdk_audio_room_composite_cpu_cost": 1.0,
        "web_cpu_cost": 4.0,
        "audio_web_cpu_cost": 1.0,
        "participant_cpu_cost": 2.0,
        "track_composite_cpu_cost": 1.0,
        "track_cpu_cost": 0.5,
        "max_memory": 8.0,
        "memory_cost": 0.5,
        "sdk_audio_room_composite_memory_cost": 0.25,
        "max_cpu_utilization": 0.8,
        "max_pulse_clients": 60,
    }
    assert "max_memory" not in Placement().egress_costs()


def test_what_a_pods_config_does_not_say_or_says_as_0_has_the_default_there() -> None:
    fleet = Placement(cpu_cost=CpuCost(web=2.0, track=0.1), max_pulse_clients=8, cpu=16.0)
    there = fleet.counting_by({"web_cpu_cost": 3.0, "track_cpu_cost": 0.0, "memory_cost": 1.0})
    assert there.cpu_cost == CpuCost(web=3.0)
    assert there.max_pulse_clients == 60
    assert there.memory is None, "without max_memory egress looks at none"
    assert there.cpu == 16.0, "what a pod does not count by stays the fleet's"
    with_memory = fleet.counting_by({"max_memory": 8.0, "memory_cost": 1.0})
    assert with_memory.memory == Memory(max_gb=8.0, cost_gb=1.0)
    with pytest.raises(ValueError, match="max_cpu_utilization"):
        fleet.counting_by({"max_cpu_utilization": 1.5})


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", 2.0),
        ("500m", 0.5),
        ("250u", 0.00025),
        ("5n", 5e-9),
        ("1.5", 1.5),
        (".5", 0.5),
        ("4Gi", 4 * 1024.0**3),
        ("1Ki", 1024.0),
        ("1Ei", 1024.0**6),
        ("512M", 512e6),
        ("3k", 3000.0),
        ("1E", 1e18),
        ("1e3", 1000.0),
        ("1E-2", 0.01),
        ("-1", -1.0),
        (4, 4.0),
        (True, None),
        ("K", None),
        ("1K", None),
        ("1ee3", None),
        ("1e", None),
        ("1e999", None),
        ("", None),
        (None, None),
    ],
)
def test_a_quantity_is_the_number_that_kubernetes_reads(text: object, number: float | None) -> None:
    assert quantity(text) == (None if number is None else pytest.approx(number, rel=1e-12))

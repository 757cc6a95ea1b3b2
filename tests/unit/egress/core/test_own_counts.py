"""What a worker's metrics say of its own limits, beside what the desk counts with."""

from __future__ import annotations

from pathlib import Path

import pytest

from mediafleet_common.api.egress.costs import Memory
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.probes.load import Load, Source, parse
from mediafleet_scheduler.core.egress.accounting.own_counts import differences

CAPTURES = Path(__file__).parents[3] / "contract" / "egress_metrics"
IDLE = Load(jobs=0, cpu_load=0.01, cpu_share=0.0125, pulse_share=1 / 60)
BUSY = Load(jobs=3, cpu_load=0.4, cpu_share=0.5, pulse_share=0.13)
WITH_MEMORY = Placement(memory=Memory(max_gb=8))


@pytest.mark.parametrize(
    ("load", "placement", "field"),
    [
        (BUSY, Placement(max_cpu_utilization=0.9), "placement.maxCpuUtilization 0.9"),
        (BUSY, WITH_MEMORY, "set cpu_cost.max_memory in its config to 8"),
        (Load(jobs=1, memory_share=0.1), Placement(), "set placement.memory.maxGb"),
        (IDLE, Placement(max_pulse_clients=50), "placement.maxPulseClients"),
    ],
)
def test_what_it_counts_otherwise_is_said_with_the_field(
    load: Load, placement: Placement, field: str
) -> None:
    (said,) = differences(load, placement)
    assert field in said


@pytest.mark.parametrize(
    ("load", "placement"),
    [
        (IDLE, Placement()),
        (BUSY, Placement()),
        (IDLE, Placement(max_cpu_utilization=0.9)),
        (Load(), WITH_MEMORY),
        (Load(jobs=1, cpu_share=0.5, cpu_load=0.4, memory_share=0.1), WITH_MEMORY),
    ],
    ids=["idle", "busy", "an idle one shows no CPU", "an old one tells no ratio", "memory"],
)
def test_where_nothing_shows_a_difference_nothing_is_said(load: Load, placement: Placement) -> None:
    assert differences(load, placement) == ()


def test_the_real_one_with_its_defaults_counts_as_a_fleet_with_its_defaults() -> None:
    for text in sorted(CAPTURES.glob("*.prom")):
        load = parse(text.read_text(), Source.EGRESS)
        memory = None if load.memory_share is None else Memory(max_gb=8)
        assert differences(load, Placement(memory=memory)) == (), text.name

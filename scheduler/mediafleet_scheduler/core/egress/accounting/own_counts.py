"""Whether a worker counts as the desk does, by what its metrics say of its own limits. Pure.

`livekit_load_ratio` is what is used of a limit: with the use itself known, it tells the limit. A
worker that counts more than the desk turns jobs down in silence. Source: livekit/egress
pkg/stats/monitor.go (updateLoadRatios).
"""

from __future__ import annotations

from typing import Final

from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.probes.load import Load

_LEAST_LOAD: Final = 0.05
"""Of less, a quotient says nothing."""
_ROUNDING: Final = 0.02


def differences(load: Load, placement: Placement) -> tuple[str, ...]:
    """What a worker counts otherwise, each with the field to set."""
    found = (_memory(load, placement), _utilization(load, placement), _pulse(load, placement))
    return tuple(each for each in found if each is not None)


def _memory(load: Load, placement: Placement) -> str | None:
    if load.memory_share is not None and placement.memory is None:
        return (
            "it limits memory (cpu_cost.max_memory in its config), which the desk does not count: "
            "set placement.memory.maxGb"
        )
    # Where there is the one ratio, all are that the worker has a limit for.
    if load.memory_share is None and load.cpu_share is not None and placement.memory is not None:
        return (
            "it limits no memory and the desk does: set cpu_cost.max_memory in its config to "
            f"{placement.memory.max_gb:g}, or take out placement.memory"
        )
    return None


def _utilization(load: Load, placement: Placement) -> str | None:
    if not load.cpu_share or load.cpu_load is None or load.cpu_load < _LEAST_LOAD:
        return None
    own = load.cpu_load / load.cpu_share
    if abs(own - placement.max_cpu_utilization) <= _ROUNDING:
        return None
    return (
        f"its cpu_cost.max_cpu_utilization is {own:.2f}, and placement.maxCpuUtilization "
        f"{placement.max_cpu_utilization:g}: set both alike"
    )


def _pulse(load: Load, placement: Placement) -> str | None:
    """Clients are whole ones."""
    if load.pulse_share is None or load.jobs != 0:
        return None
    clients = load.pulse_share * placement.max_pulse_clients
    if abs(clients - round(clients)) <= _ROUNDING:
        return None
    return (
        f"its cpu_cost.max_pulse_clients is not {placement.max_pulse_clients}, which "
        "placement.maxPulseClients says: set both alike"
    )

"""`spec.placement` of an EgressFleet: which pod gets the next job."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from mediafleet_common.api.base import Model
from mediafleet_common.api.durations import Duration
from mediafleet_common.api.egress.costs import CpuCost, Limits, Memory, RequestType


class Mode(StrEnum):
    """Which pod gets the next job."""

    PACK = "pack"
    SPREAD = "spread"
    TYPE_AWARE = "type_aware"


class PlacementEngine(StrEnum):
    """Who gives jobs to pods."""

    SCHEDULER = "scheduler"
    NATIVE = "native"


class Queue(Model):
    """Waiting for room while pods come."""

    max_wait: Duration | None = None
    """How long a request may wait for room; 0s: it is refused at once. Wait and start together \
end 9 s after it was sent. Default: 5s in a fleet with autoscaling, else 0s."""
    max_length: Annotated[int, Field(ge=1, le=100000)] = 1000
    """How many requests may wait, refused ones whose place is kept included; more are refused at \
once."""


class Use(StrEnum):
    """What is done with learnt costs."""

    NONE = "none"
    OBSERVE = "observe"
    APPLY = "apply"


class LearnedCosts(Model):
    """CPUs that jobs really use, learnt by the desk from the load of the pods."""

    use: Use = Use.OBSERVE
    """none: nothing is learnt. observe: it is shown beside cpuCost. apply: once it is sure, it \
is sent along with each request (estimated_cpu), and decides instead of cpuCost whether a job \
fits."""
    floor: Annotated[float, Field(gt=0, le=1)] = 0.5
    """With apply: at least this share of cpuCost."""
    ceiling: Annotated[float, Field(ge=1, le=4)] = 1.5
    """With apply: at most this multiple of cpuCost."""


class WhenFull(StrEnum):
    """What a client hears of a request for which there is no room."""

    REFUSE = "refuse"
    SILENT = "silent"


class Placement(Model):
    """Which pod gets the next job."""

    engine: PlacementEngine = PlacementEngine.SCHEDULER
    """scheduler: the egress desk. native: upstream's auction among the pods, which then listen \
where livekit-server calls; spread and type_aware need an egress image with affinity_mode. It is \
refused beside a fleet with engine scheduler on the same Redis."""
    mode: Mode = Mode.PACK
    """pack: the fullest pod that fits, idle pods last. spread: the most free CPU. type_aware: \
room composite and web to idle pods, everything else spread clear of their room."""
    cpu: Annotated[float, Field(gt=0, le=1024)] | None = None
    """CPUs of a pod. Default: limits.cpu of container egress; with neither, nothing is placed \
by CPU and condition CpuUnknown says so."""
    cpu_cost: CpuCost = CpuCost()
    """CPUs that a job of each type is counted with."""
    report_lost: bool = False
    """Whether to report recordings that were lost with their pod to livekit-server: status \
FAILED, the error and the time, unless it knows of an end. Otherwise it still lists them as \
active."""
    learned_costs: LearnedCosts = LearnedCosts()
    """CPUs that jobs really use, learnt from the load of the pods."""
    max_cpu_utilization: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of a pod's CPUs that jobs may take once it is busy (an idle pod may be filled \
wholly, as egress itself does)."""
    memory: Memory | None = None
    """Memory that jobs are counted with. Absent: only what your egress config says is looked at, \
by the pod alone."""
    max_pulse_clients: Annotated[int, Field(ge=1, le=10000)] = 60
    """PulseAudio clients of a pod; a job that needs Chrome is counted with 4 for its first 15 s."""
    limits: Limits = Limits()
    """How many jobs of a type one pod may have at a time."""
    queue: Queue = Queue()
    """Waiting for room while pods come."""
    when_full: WhenFull = WhenFull.REFUSE
    """refuse: the client gets an error that says why. silent: no bid, so that egress workers \
outside of fleets on the same Redis take it. While such workers are seen, every fleet is silent."""

    def egress_costs(self) -> dict[str, float]:
        """The same as keys of `cpu_cost` in an egress config (livekit/egress
        pkg/config/service.go), which is what the pods count with."""
        costs = {f"{kind.value}_cpu_cost": self.cpu_cost.of(kind) for kind in RequestType}
        if self.memory is not None:
            costs |= {
                "max_memory": self.memory.max_gb,
                "memory_cost": self.memory.cost_gb,
                "sdk_audio_room_composite_memory_cost": self.memory.of(
                    RequestType.SDK_AUDIO_ROOM_COMPOSITE
                ),
            }
        return {
            **costs,
            "max_cpu_utilization": self.max_cpu_utilization,
            "max_pulse_clients": self.max_pulse_clients,
        }

    def counting_by(self, costs: Mapping[str, float]) -> Placement:
        """The same with the costs and limits of an egress config's `cpu_cost`, as egress reads it:
        what is absent, or not above 0, is the default (livekit/egress pkg/config/service.go).

        Raises:
            ValueError: no pod can be given work by such costs.
        """
        given = {name: value for name, value in costs.items() if value > 0}
        cpu = {kind.value: f"{kind.value}_cpu_cost" for kind in RequestType}
        memory = {
            "max_gb": "max_memory",
            "cost_gb": "memory_cost",
            "sdk_audio_cost_gb": "sdk_audio_room_composite_memory_cost",
        }
        limits = {key: given[key] for key in _PARTS & given.keys()}
        given_costs = Placement.model_validate(
            {
                **limits,
                "cpu_cost": _named(cpu, given),
                "memory": _named(memory, given) if "max_memory" in given else None,
            }
        )
        return self.model_copy(update={name: getattr(given_costs, name) for name in _COUNTED})


_PARTS: Final = frozenset({"max_cpu_utilization", "max_pulse_clients"})


_COUNTED: Final = ("cpu_cost", "memory", *sorted(_PARTS))
"""The fields of a placement that a pod counts by."""


def _named(names: Mapping[str, str], given: Mapping[str, float]) -> dict[str, float]:
    return {name: given[key] for name, key in names.items() if key in given}

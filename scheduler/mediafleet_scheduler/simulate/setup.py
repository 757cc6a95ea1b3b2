"""What a simulation is told, and what came of each job."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from mediafleet_common.api.egress.costs import CpuCost, Memory
from mediafleet_common.api.egress.placement import Mode
from mediafleet_scheduler.simulate.traces import TraceJob


class Placing(StrEnum):
    """Who places the jobs: our desk in one of its modes, or the auction among stock pods."""

    PACK = "pack"
    SPREAD = "spread"
    TYPE_AWARE = "type_aware"
    UPSTREAM = "upstream"
    """livekit/egress as released."""
    NATIVE_SPREAD = "native_spread"
    """Stock pods with the patch of `engine: native`."""
    NATIVE_TYPE_AWARE = "native_type_aware"

    @property
    def by_desk(self) -> bool:
        """Whether a desk places, and not an auction."""
        return self in (Placing.PACK, Placing.SPREAD, Placing.TYPE_AWARE)

    @property
    def mode(self) -> Mode:
        """The mode that desk or pods are in."""
        name = self.value.removeprefix("native_")
        return Mode.PACK if self is Placing.UPSTREAM else Mode(name)


@dataclass(frozen=True, slots=True)
class Setup:
    """A fleet, and how its pods behave."""

    pods: int = 10
    cpu: float = 16.0
    """CPUs of a pod."""
    max_cpu_utilization: float = 0.8
    max_pulse_clients: int = 60
    """PulseAudio clients of a pod."""
    memory: Memory | None = None
    """As spec.placement.memory; `None`: it is not looked at."""
    costs: CpuCost = field(default_factory=CpuCost)
    queue_seconds: float = 0.0
    """How long the desk lets a request wait for room; 0: it refuses at once."""
    start_seconds: float = 0.3
    """A pod answers so long after it was given a job."""
    scrape_seconds: float = 15.0
    """How often the desk reads a pod's metrics."""
    late_seconds: float = 0.0
    """What the desk reads is up to so old, by chance."""
    missing_share: float = 0.0
    """Share of the readings that never come."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one job."""

    job: TraceJob
    pod: int | None
    """Number of its pod; `None`: it was refused for good."""
    began: float | None
    """Seconds of the trace at which its pod took it."""
    attempts: int
    """How often the client asked, 1 to 3."""
    turned_down: int = 0
    """Pods that were given it and refused."""
    gave_up: float | None = None
    """When it was refused for good."""

    @property
    def ended(self) -> float | None:
        """When it ended."""
        return None if self.began is None else self.began + self.job.seconds

    @property
    def waited(self) -> float | None:
        """Seconds from the first request until a pod took it."""
        return None if self.began is None else self.began - self.job.at

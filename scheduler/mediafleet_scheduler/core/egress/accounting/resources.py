"""What a job takes of a pod beside its CPUs, counted as the pod itself counts. Pure.

Memory and PulseAudio clients are limits of egress; how many jobs of a type a pod may have is one of
ours. A new job counts with its cost beside what the pod says that it uses, as there.

Source: livekit/egress pkg/stats/monitor.go (checkMemoryAdmissionLocked, canAcceptWebLocked,
AcceptRequest).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from mediafleet_common.api.egress.costs import Limits, Memory, RequestType
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.value import value
from mediafleet_scheduler.core.egress.accounting.accounts import HOLD_SECONDS, Job, Measured

HEADROOM_GB: Final = 1.0
"""A pod keeps so much memory free."""
PULSE_CLIENTS: Final = 4
"""PulseAudio clients that a job with Chrome is counted with while it is new."""


@value
class Need:
    """What a job takes of a pod."""

    kind: RequestType
    cores: float
    memory_gb: float = 0.0
    declared: bool = False
    """Whether the request says the CPUs, instead of what it costs by a table."""

    def by(self, counts: Placement | None) -> Need:
        """The same job on a pod that counts by other costs; `None`: by the same."""
        if counts is None:
            return self
        return need_of(self.kind, counts, self.cores if self.declared else None)


def need_of(kind: RequestType, placement: Placement, cores: float | None = None) -> Need:
    """What a job of a type takes of a pod of a fleet; `cores`: what the request itself says."""
    memory = placement.memory.of(kind) if placement.memory else 0.0
    return Need(kind, cores or placement.cpu_cost.of(kind), memory, bool(cores))


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits of a pod beside its CPUs."""

    memory: Memory | None = None
    """`None`: memory is not looked at."""
    max_pulse_clients: int = 60
    limits: Limits = field(default_factory=Limits)


def rules_of(placement: Placement) -> Rules:
    """The limits of a fleet's pods."""
    return Rules(placement.memory, placement.max_pulse_clients, placement.limits)


class Lack(Enum):
    """What a pod has not enough of, beside CPUs."""

    MEMORY = auto()
    PULSE_CLIENTS = auto()
    OF_TYPE = auto()
    """It has as many jobs of the type as spec.placement.limits allows."""


@value
class Rest:
    """What is left of a pod beside its CPUs."""

    memory_gb: float = math.inf
    """A job fits if it takes less than this; infinite: memory is not looked at."""
    pulse_clients: int = 60
    of_type: Mapping[RequestType, int] = field(default_factory=dict)
    """How many more jobs of each type that has a limit."""

    def fits(self, need: Need) -> bool:
        """Whether a job finds what it needs."""
        return self.lacks(need) is None

    def lacks(self, need: Need) -> Lack | None:
        """What a job does not find; `None`: nothing."""
        if need.memory_gb >= self.memory_gb:
            return Lack.MEMORY
        if need.kind.needs_chrome and self.pulse_clients < PULSE_CLIENTS:
            return Lack.PULSE_CLIENTS
        return Lack.OF_TYPE if self.of_type.get(need.kind, 1) <= 0 else None

    def times(self, need: Need) -> float:
        """How many such jobs, all new, find what they need; infinite: CPUs alone limit them."""
        if not self.fits(need):
            return 0
        most: float = self.of_type.get(need.kind, math.inf)
        if need.kind.needs_chrome:
            most = min(most, self.pulse_clients // PULSE_CLIENTS)
        if need.memory_gb > 0 and self.memory_gb != math.inf:
            most = min(most, math.ceil(self.memory_gb / need.memory_gb) - 1)
        return most


def rest(rules: Rules, jobs: Collection[Job], measured: Measured | None, now: float) -> Rest:
    """What is left of a pod that has these jobs."""
    at = measured.at if measured else -math.inf
    memory_gb = math.inf
    if rules.memory is not None:
        measured_gb = measured.memory_gb if measured else None
        counted = jobs if measured_gb is None else _beside(jobs, at, now)
        used = (measured_gb or 0.0) + sum(rules.memory.of(job.kind) for job in counted)
        memory_gb = rules.memory.max_gb - HEADROOM_GB - used
    if not jobs and measured is None:
        return Rest(memory_gb, rules.max_pulse_clients, _of_type(rules, jobs))
    open_clients = measured.pulse_clients if measured else None
    counted = jobs if open_clients is None else _beside(jobs, at, now)
    clients = (open_clients or 0.0) + PULSE_CLIENTS * sum(job.kind.needs_chrome for job in counted)
    return Rest(memory_gb, math.floor(rules.max_pulse_clients - clients), _of_type(rules, jobs))


def _beside(jobs: Collection[Job], measured_at: float, now: float) -> list[Job]:
    """The jobs that count beside the pod's load: new ones, and those that are not in it."""
    since = min(now - HOLD_SECONDS, measured_at)
    return [job for job in jobs if job.started_at is None or job.started_at > since]


def _of_type(rules: Rules, jobs: Collection[Job]) -> dict[RequestType, int]:
    # Only those that were given: mostly none, and this is made for each placement.
    if not rules.limits.model_fields_set:
        return {}
    kinds = (RequestType(name) for name in rules.limits.model_fields_set)
    limited = {kind: limit for kind in kinds if (limit := rules.limits.of(kind)) is not None}
    for job in jobs:
        if job.kind in limited:
            limited[job.kind] -= 1
    return limited

"""What the broker knows of a worker: frozen snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from mediafleet_scheduler.core.workers.pipelines import Pipeline


class Target(NamedTuple):
    """What a task asks for."""

    pipeline: Pipeline
    model: str

    def __str__(self) -> str:
        return f"{self.pipeline}/{self.model}"


@dataclass(frozen=True, slots=True)
class Offer:
    """One model that a worker serves."""

    capacity: int
    """Tasks that it takes at a time."""
    warm: bool = False
    """Whether the model is loaded."""
    version: str | None = None
    """Of the runner; `None`: not declared."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker that is connected. What it says of itself is a claim."""

    id: str
    """Unique among the connections of a broker: a stock worker has no identity of its own."""
    address: str
    """Where it connects from, for people."""
    offers: Mapping[Target, Offer] = field(default_factory=dict)
    version: str = ""
    """Of go-livepeer, as declared."""
    hardware: tuple[str, ...] = ()
    """Names of its GPUs, as declared."""
    name: str | None = None
    """What it calls itself; `None`: stock workers have no name."""
    instance: str | None = None
    """Which run of that name it is: of a pod its uid; `None`: not declared."""
    known_as: str | None = None
    """Whose its secret is, by the file of workers: no claim. `None`: the secret is shared."""

    @property
    def capacity(self) -> int:
        """Tasks that it takes at a time, over all models."""
        return sum(offer.capacity for offer in self.offers.values())


@dataclass(frozen=True, slots=True)
class InPool:
    """The pod of an AIWorkerPool that a worker is: no claim, the broker saw both."""

    pod: str
    """NAMESPACE/NAME."""
    pool: str
    """Name of the pool, in the same namespace."""

"""Judges scale-downs against the jobs that the workers say they had. Pure.

All times are Unix seconds of one clock. A scale-down is right when all jobs of that moment fit on
the pods that it leaves; any other was caused by what had happened just before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.kit.watching.replicas import Told
from tests.kit.watching.verdicts import Job


@dataclass(frozen=True, slots=True)
class Outage:
    """Something was taken away, and came back."""

    what: str
    began_at: float


@dataclass(frozen=True, slots=True)
class ScaleDown:
    """`spec.replicas` became less."""

    at: float
    before: int | None
    after: int | None
    """`None`: the number was taken out."""
    needed: int
    """Pods that the jobs of that moment filled."""
    outage: str | None
    """The last one that had begun by then."""

    @property
    def right(self) -> bool:
        """Whether the work itself had become less."""
        return self.after is not None and self.after >= self.needed

    def __str__(self) -> str:
        return f"{self.before} -> {self.after}, {self.needed} needed, after outage {self.outage}"


def scale_downs(
    told: Sequence[Told], jobs: Iterable[Job], per_pod: int, outages: Sequence[Outage]
) -> list[ScaleDown]:
    """Every scale-down with its cause, in order; `told` begins with the number before the first."""
    return list(_scale_downs(told, list(jobs), per_pod, outages))


def _scale_downs(
    told: Sequence[Told], jobs: list[Job], per_pod: int, outages: Sequence[Outage]
) -> Iterator[ScaleDown]:
    for before, after in pairwise(told):
        if after.replicas is not None and after.replicas >= (before.replicas or 0):
            continue
        running = sum(job.runs_at(after.at) for job in jobs)
        begun = [outage.what for outage in outages if outage.began_at <= after.at]
        yield ScaleDown(
            after.at,
            before.replicas,
            after.replicas,
            math.ceil(running / per_pod),
            begun[-1] if begun else None,
        )

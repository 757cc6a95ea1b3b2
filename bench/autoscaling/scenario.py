"""A scenario file: what comes, on which fleet, and what autoscaling is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import Field

from mediafleet_common.api.base import Model
from mediafleet_common.api.scaling.autoscaling import Autoscaling

FOLDER: Final = Path(__file__).parent / "scenarios"


class Phase(Model):
    """Some time in which jobs come evenly."""

    seconds: Annotated[int, Field(gt=0)]
    per_minute: Annotated[float, Field(ge=0)] = 0.0
    """Jobs that come in a minute."""
    burst: Annotated[int, Field(ge=0)] = 0
    """Jobs that come at once, at its beginning."""
    job_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How long each runs."""


class Scenario(Model):
    """One file."""

    about: str
    each: int = 4
    """Jobs that a pod takes."""
    start_seconds: float = 12.0
    """From creating a pod until it is Ready."""
    wait_seconds: float = 20.0
    """How long a request waits before it is refused."""
    replicas: int = 1
    """To begin with."""
    autoscaling: Autoscaling
    phases: list[Phase]

    @property
    def seconds(self) -> int:
        """How long it takes."""
        return sum(phase.seconds for phase in self.phases)

    def arrivals(self) -> Iterator[list[float]]:
        """For each second the durations of the jobs that come in it."""
        for phase in self.phases:
            owed = 0.0
            for second in range(phase.seconds):
                owed += phase.per_minute / 60.0
                count = int(owed + 1e-9)
                owed -= count
                yield [phase.job_seconds] * (count + (phase.burst if second == 0 else 0))


@dataclass(frozen=True, slots=True)
class Named:
    """A scenario and the name of its file."""

    name: str
    scenario: Scenario


def load(path: Path) -> Named:
    """Read a file; raises pydantic's error when it is wrong."""
    text = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Named(path.stem, Scenario.model_validate(text))


def all_of_them() -> list[Named]:
    """The files of this folder, by name."""
    return [load(path) for path in sorted(FOLDER.glob("*.yaml"))]

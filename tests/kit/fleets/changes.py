"""Random changes of fleets, all drawn from one seed before the first is made. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

TEMPLATE_SHARE: Final = 0.1
"""So many of the changes are of the template: each replaces every pod of its fleet."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What `kubectl scale` does."""

    replicas: int

    def __str__(self) -> str:
        return f"scale to {self.replicas}"


@dataclass(frozen=True, slots=True)
class NewTemplate:
    """A change of the pod template, so that every pod is replaced."""

    revision: int

    def __str__(self) -> str:
        return f"template {self.revision}"


Change = Scale | NewTemplate


@dataclass(frozen=True, slots=True)
class Range:
    """How many replicas a fleet may be asked for."""

    low: int
    high: int


def draw(seed: int, fleet: str, count: int, replicas: Range, start: int) -> list[Change]:
    """The changes of one fleet, which starts with `start` replicas.

    A scale always asks for another number than before, and a tenth of the changes are templates.
    """
    chance = random.Random(f"{seed}/{fleet}")
    kinds = [index < math.ceil(count * TEMPLATE_SHARE) for index in range(count)]
    chance.shuffle(kinds)
    return list(_changes(chance, kinds, replicas, start))


def _changes(
    chance: random.Random, kinds: Sequence[bool], replicas: Range, start: int
) -> Iterator[Change]:
    present, revision = start, 0
    for is_template in kinds:
        if is_template:
            revision += 1
            yield NewTemplate(revision)
        else:
            others = [n for n in range(replicas.low, replicas.high + 1) if n != present]
            present = chance.choice(others)
            yield Scale(present)

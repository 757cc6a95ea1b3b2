"""Non-negative least squares for a handful of unknowns, with the error of each. Pure.

The active set method of Lawson and Hanson on the normal equations: an unknown is either 0 or free,
and is set free for as long as that makes the fit better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_TINY: Final = 1e-9
_BREATH: Final = 1e-9
_MIXTURE: Final = 1e6
"""An unknown whose squared error is so much larger than if it were alone is a mixture of others."""
Matrix = list[list[float]]


class Equations:
    """Sums over observations `row . x = told`: all that a fit needs to know of them."""

    def __init__(self, size: int) -> None:
        self.gram: Matrix = [[0.0] * size for _ in range(size)]
        """Of row times row."""
        self.target = [0.0] * size
        """Of row times what was told."""
        self.square = 0.0
        """Of what was told, squared."""
        self.count = 0

    def add(self, row: Sequence[float], told: float) -> None:
        """One more observation."""
        self._count(row, told, 1)

    def remove(self, row: Sequence[float], told: float) -> None:
        """One that was added counts no more."""
        self._count(row, told, -1)

    def _count(self, row: Sequence[float], told: float, sign: int) -> None:
        there = [(i, value) for i, value in enumerate(row) if value]
        for i, left in there:
            self.target[i] += sign * left * told
            for j, right in there:
                self.gram[i][j] += sign * left * right
        self.square = max(0.0, self.square + sign * told * told)
        self.count += sign


@dataclass(frozen=True, slots=True)
class Solution:
    """What fits best."""

    values: list[float]
    """None is below 0."""
    errors: list[float]
    """Standard error of each; infinite where the observations do not tell."""


def solve(wanted: Equations) -> Solution:
    """The non-negative values that leave the least squares."""
    size = len(wanted.target)
    values = [0.0] * size
    free: list[int] = []
    unfit: set[int] = set()
    for _ in range(3 * size):
        pull = _pull(wanted, values)
        scale = [math.sqrt(wanted.gram[i][i]) or 1.0 for i in range(size)]
        waiting = [i for i in range(size) if i not in free and i not in unfit]
        best = max(waiting, key=lambda i: pull[i] / scale[i], default=None)
        if best is None or pull[best] <= _TINY * scale[best] * math.sqrt(wanted.square or 1.0):
            break
        free.append(best)
        if not _settle(wanted, values, free):
            # It is a mixture of those that are free already.
            free.remove(best)
            unfit.add(best)
    return Solution(values, _errors(wanted, values, free))


def _pull(wanted: Equations, values: Sequence[float]) -> list[float]:
    """How much each value would like to grow."""
    return [
        told - sum(part * value for part, value in zip(row, values, strict=True))
        for told, row in zip(wanted.target, wanted.gram, strict=True)
    ]


def _settle(wanted: Equations, values: list[float], free: list[int]) -> bool:
    """Set the free values to what fits best, and those that would be negative to 0."""
    before = values.copy()
    while free:
        inverse = _inverse([[wanted.gram[i][j] for j in free] for i in free])
        if inverse is None:
            values[:] = before
            return False
        goal = [
            sum(part * wanted.target[i] for part, i in zip(row, free, strict=True))
            for row in inverse
        ]
        if min(goal) > 0:
            for i, value in zip(free, goal, strict=True):
                values[i] = value
            return True
        # As far towards the goal as no value becomes negative.
        steps = [
            values[i] / (values[i] - value) if values[i] > value else 0.0
            for i, value in zip(free, goal, strict=True)
            if value <= 0
        ]
        step = min(steps)
        for i, value in zip(free, goal, strict=True):
            values[i] += step * (value - values[i])
        for i in [i for i in free if values[i] <= _TINY]:
            values[i] = 0.0
            free.remove(i)
    return True


def _errors(wanted: Equations, values: Sequence[float], free: Sequence[int]) -> list[float]:
    """By the spread of the residuals, as if no value were bound to 0: that is the larger error."""
    errors = [math.inf] * len(values)
    known = [i for i in range(len(values)) if wanted.gram[i][i] > 0]
    degrees = wanted.count - len(known)
    # A breath of its diagonal makes every matrix one that has an inverse.
    inverse = _inverse(
        [[wanted.gram[i][j] * (1 + _BREATH * (i == j)) for j in known] for i in known]
    )
    if inverse is None or degrees <= 0 or not free:
        return errors
    fitted = sum(value * told for value, told in zip(values, wanted.target, strict=True))
    # At the best fit x, the residual is told . told - x . target.
    spread = max(0.0, wanted.square - fitted) / degrees
    for at, i in enumerate(known):
        if inverse[at][at] * wanted.gram[i][i] < _MIXTURE:
            errors[i] = math.sqrt(max(0.0, spread * inverse[at][at]))
    return errors


def _inverse(matrix: Matrix) -> Matrix | None:
    """By elimination with pivots; `None`: it has none worth the name."""
    size = len(matrix)
    work = [[*row, *(float(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    largest = max((matrix[i][i] for i in range(size)), default=0.0)
    for column in range(size):
        pivot = max(range(column, size), key=lambda i: abs(work[i][column]))
        if abs(work[pivot][column]) <= _TINY * largest:
            return None
        work[column], work[pivot] = work[pivot], work[column]
        divisor = work[column][column]
        work[column] = [value / divisor for value in work[column]]
        for i in range(size):
            factor = work[i][column]
            if i != column and factor:
                work[i] = [a - factor * b for a, b in zip(work[i], work[column], strict=True)]
    return [row[size:] for row in work]

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

    def add(self, row: Sequence[float], measured: float) -> None:
        """One more observation."""
        self._count(row, measured, 1)

    def remove(self, row: Sequence[float], measured: float) -> None:
        """One that was added counts no more."""
        self._count(row, measured, -1)

    def _count(self, row: Sequence[float], measured: float, sign: int) -> None:
        there = [(i, value) for i, value in enumerate(row) if value]
        for i, left in there:
            self.target[i] += sign * left * measured
            for j, right in there:
                self.gram[i][j] += sign * left * right
        self.square = max(0.0, self.square + sign * measured * measured)
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
        settled = _settle(wanted, values, [*free, best])
        if settled is None:
            # It is a mixture of those that are free already.
            unfit.add(best)
            continue
        values, kept = settled
        if len(kept) <= len(free):
            # Another is free no more, so what was a mixture with it may be none now.
            unfit.clear()
        free = kept
    return Solution(values, _errors(wanted, values, free))


def _pull(wanted: Equations, values: Sequence[float]) -> list[float]:
    """How much each value would like to grow."""
    return [
        measured - sum(part * value for part, value in zip(row, values, strict=True))
        for measured, row in zip(wanted.target, wanted.gram, strict=True)
    ]


def _settle(
    wanted: Equations, start: Sequence[float], freed: Sequence[int]
) -> tuple[list[float], list[int]] | None:
    """The values that fit best, those that would be negative at 0, and which are free then.

    `None`: one of the free ones is a mixture of the others.
    """
    values, free = list(start), list(freed)
    while free:
        inverse = _inverse([[wanted.gram[i][j] for j in free] for i in free])
        if inverse is None:
            return None
        goal = _goal(wanted, free, inverse)
        if min(goal) > 0:
            for i, value in zip(free, goal, strict=True):
                values[i] = value
            break
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
    return values, free


def _goal(wanted: Equations, free: Sequence[int], inverse: Matrix) -> list[float]:
    """The values of the free ones that fit best, if each may be negative."""
    goal = [0.0] * len(free)
    # Each further time takes off what rounding has left of near mixtures.
    for _ in range(3):
        left = [
            wanted.target[i]
            - sum(wanted.gram[i][j] * value for j, value in zip(free, goal, strict=True))
            for i in free
        ]
        goal = [
            value + sum(part * pull for part, pull in zip(row, left, strict=True))
            for value, row in zip(goal, inverse, strict=True)
        ]
    return goal


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
    fitted = sum(value * measured for value, measured in zip(values, wanted.target, strict=True))
    # At the best fit x, the residual is told . told - x . target.
    spread = max(0.0, wanted.square - fitted) / degrees
    for at, i in enumerate(known):
        if inverse[at][at] * wanted.gram[i][i] < _MIXTURE:
            errors[i] = math.sqrt(max(0.0, spread * inverse[at][at]))
    return errors


def _inverse(matrix: Matrix) -> Matrix | None:
    """By elimination, without pivots, as sums of squares need none; `None`: it has none.

    The diagonal is above 0. It is scaled to 1 first: whether one column is a mixture of others does
    not depend on the units of any.
    """
    size = len(matrix)
    scale = [math.sqrt(matrix[i][i]) for i in range(size)]
    work = [
        [
            *(value / (scale[i] * by) for value, by in zip(row, scale, strict=True)),
            *(float(i == j) for j in range(size)),
        ]
        for i, row in enumerate(matrix)
    ]
    for column in range(size):
        # The part of this column, squared, that is no mixture of those before it.
        divisor = work[column][column]
        if divisor <= _TINY:
            return None
        work[column] = [value / divisor for value in work[column]]
        for i in range(size):
            factor = work[i][column]
            if i != column and factor:
                work[i] = [a - factor * b for a, b in zip(work[i], work[column], strict=True)]
    return [
        [value / (scale[i] * by) for value, by in zip(row[size:], scale, strict=True)]
        for i, row in enumerate(work)
    ]

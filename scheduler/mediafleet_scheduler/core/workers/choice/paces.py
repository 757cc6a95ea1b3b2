"""How long each worker takes for a model's tasks, learnt from its last ones. Pure.

A pace is beside the others: 1 is the median worker's. It is told in steps of a factor of 1.4, so
that workers which differ by chance alone are equal, and lies between 1/4 and 4, so that a worker
which answers rubbish at once does not draw everything. What is not known counts as 1.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import Final

from mediafleet_scheduler.core.workers.views import Target

ENOUGH: Final = 3
"""Tasks that tell how fast a worker is."""
_LAST: Final = 9
"""Tasks of which the median counts."""
STEPS: Final = 2
"""In a factor of two."""
MOST_STEPS: Final = 2 * STEPS
"""From the median worker."""
FORGET_SECONDS: Final = 600.0
"""After so long without a task a worker is as good as unknown: it is given some, and shows."""
_SHORTEST: Final = 1e-3

Key = tuple[str, Target]


class Paces:
    """What the workers of a broker have shown."""

    def __init__(self) -> None:
        self._took: dict[Key, deque[float]] = {}
        self._steps: dict[Key, int] = {}
        self._until: dict[Key, float] = {}
        self._pools: dict[Target, Counter[int]] = {}

    def took(self, worker: str, target: Target, seconds: float, now: float) -> bool:
        """A worker has done a task; whether the pace of others may have changed too."""
        key = (worker, target)
        last = self._took.setdefault(key, deque(maxlen=_LAST))
        last.append(max(seconds, _SHORTEST))
        self._until[key] = now + FORGET_SECONDS
        if len(last) < ENOUGH:
            return False
        median = sorted(last)[len(last) // 2]
        return self._set(key, round(STEPS * math.log2(median)))

    def until(self, worker: str, target: Target) -> float | None:
        """When a worker is forgotten; `None`: it is unknown."""
        return self._until.get((worker, target))

    def forget(self, worker: str, target: Target) -> bool:
        """A worker is gone, or had no task for long; whether the pace of others may have changed.
        Harmless when it is unknown."""
        key = (worker, target)
        self._took.pop(key, None)
        self._until.pop(key, None)
        return self._set(key, None)

    def pace(self, worker: str, target: Target) -> float:
        """How long a worker takes, beside the median one."""
        steps, usual = self._steps.get((worker, target)), self._median(target)
        if steps is None or usual is None:
            return 1.0
        bound = max(-MOST_STEPS, min(MOST_STEPS, steps - usual))
        return float(2.0 ** (bound / STEPS))

    def _set(self, key: Key, steps: int | None) -> bool:
        before, target = self._steps.get(key), key[1]
        if before == steps:
            return False
        usual = self._median(target)
        pool = self._pools.setdefault(target, Counter())
        if before is not None:
            del self._steps[key]
            pool[before] -= 1
        if steps is not None:
            self._steps[key] = steps
            pool[steps] += 1
        self._pools[target] = +pool
        if not self._pools[target]:
            del self._pools[target]
        return self._median(target) != usual

    def _median(self, target: Target) -> int | None:
        pool = self._pools.get(target)
        if not pool:
            return None
        left = (pool.total() - 1) // 2
        for steps in sorted(pool):
            left -= pool[steps]
            if left < 0:
                return steps
        raise AssertionError("a counter counts")

"""When time alone changes something: a heap. Pure."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Final, Generic, TypeVar

ItemT = TypeVar("ItemT")

_FEW: Final = 64


class Moments(Generic[ItemT]):
    """What is due when, soonest first; of two at one moment what was added first.

    `counts` says whether an item at its moment is still of interest. Others are left out when they
    come up, and all of them now and then, so that they never are the greater part of many.
    """

    def __init__(self, counts: Callable[[float, ItemT], bool]) -> None:
        self._counts = counts
        self._heap: list[tuple[float, int, ItemT]] = []
        self._number = itertools.count()
        self._most = _FEW

    def __len__(self) -> int:
        """How many are held, those counted that are of no interest any more."""
        return len(self._heap)

    def add(self, moment: float, item: ItemT) -> None:
        """Something is due."""
        heapq.heappush(self._heap, (moment, next(self._number), item))
        if len(self._heap) > self._most:
            self._heap = [each for each in self._heap if self._counts(each[0], each[2])]
            heapq.heapify(self._heap)
            self._most = max(_FEW, 2 * len(self._heap))

    def first(self) -> float | None:
        """The moment of the soonest; `None`: there is none."""
        while self._heap:
            moment, _, item = self._heap[0]
            if self._counts(moment, item):
                return moment
            heapq.heappop(self._heap)
        return None

    def due(self, now: float) -> list[ItemT]:
        """What is due by now; it is not held any more."""
        found = []
        while (moment := self.first()) is not None and moment <= now:
            found.append(heapq.heappop(self._heap)[2])
        return found

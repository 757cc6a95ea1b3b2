"""What fleets asked for over the last hours, for people who look at it. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from mediafleet_common.reports.demand import FleetDemand
from mediafleet_common.reports.pages.history import DemandHistory
from mediafleet_common.scaling.wanted import for_places

EVERY_SECONDS: Final = 10.0
SAMPLES: Final = 720
"""Two hours of each fleet; a day of hundreds of fleets would be a tenth of the desk's memory."""
STEP_SECONDS: Final = 600.0
STEPS: Final = 144
"""A day of each fleet, of each ten minutes the most."""

Key = tuple[str, str]
"""Namespace and name."""
_Number = int | None
_Sample = tuple[float, _Number, _Number, _Number, _Number, _Number, _Number]


class History:
    """Samples of each fleet, the oldest forgotten."""

    def __init__(self) -> None:
        self._samples: dict[Key, deque[_Sample]] = {}
        self._day: dict[Key, deque[_Sample]] = {}

    def note(self, demands: Iterable[FleetDemand]) -> None:
        """Take a sample of each fleet of which the last is old enough; forget other fleets."""
        present = {(each.namespace, each.name): each for each in demands}
        for key in self._samples.keys() - present.keys():
            del self._samples[key], self._day[key]
        for key, demand in present.items():
            samples = self._samples.setdefault(key, deque(maxlen=SAMPLES))
            if not samples or demand.at - samples[-1][0] >= EVERY_SECONDS:
                samples.append(_sample(demand))
                _add(self._day.setdefault(key, deque(maxlen=STEPS)), samples[-1])

    def of(self, key: Key, after: float = 0.0, *, day: bool = False) -> DemandHistory | None:
        """What is kept of a fleet since a time, or of its day; `None`: there is no such fleet."""
        kept = (self._day if day else self._samples).get(key)
        if kept is None:
            return None
        samples = [each for each in kept if each[0] > after]
        return DemandHistory(
            at=[each[0] for each in samples],
            wanted=[each[1] for each in samples],
            ready=[each[2] for each in samples],
            busy=[each[3] for each in samples],
            work=[each[4] for each in samples],
            waiting=[each[5] for each in samples],
            forecast=[each[6] for each in samples],
        )


def _add(day: deque[_Sample], sample: _Sample) -> None:
    """Take a sample into the ten minutes that it lies in; a clock set back begins others."""
    begin = sample[0] // STEP_SECONDS * STEP_SECONDS
    if day and day[-1][0] == begin:
        day[-1] = (begin, *map(_most, day[-1][1:], sample[1:]))  # type: ignore[assignment]
    else:
        day.append((begin, *sample[1:]))


def _most(one: _Number, other: _Number) -> _Number:
    return max((each for each in (one, other) if each is not None), default=None)


def _sample(demand: FleetDemand) -> _Sample:
    if not demand.known:
        return (demand.at, None, None, None, None, None, None)
    wanted = for_places(demand, None, 0)
    return (
        demand.at,
        None if wanted is None else wanted.pods,
        demand.ready,
        demand.busy,
        demand.work,
        sum(demand.queued.values()),
        demand.forecast,
    )

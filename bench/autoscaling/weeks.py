"""Weeks of a fleet's work with a pattern, noise and surprises, by a seed.

Lessons begin at each hour of a working day, shows on two evenings, a service on Sunday, and some
work comes at any time. Each week has a size of its own, each event too; some are called off. A week
of surprises has a holiday, a day on which all begins an hour late, and a crowd nobody expected.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from mediafleet_operator.simulate.world import Arrival

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
CALLED_OFF: Final = 0.05
SIZE_SIGMA: Final = 0.2
WEEK_SIGMA: Final = 0.1
HOLIDAY, LATE_DAY, CROWD_DAY = 0, 2, 3

Job = tuple[float, Arrival]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that is held each week."""

    at: float
    """Seconds after Monday 00:00."""
    jobs: float
    seconds: float


def pattern(chance: random.Random) -> list[Event]:
    """What a week of this fleet holds."""
    lessons = [
        Event(day * DAY + hour * HOUR, chance.uniform(15, 50), 2900.0)
        for day in range(5)
        for hour in range(8, 17)
    ]
    shows = [Event(day * DAY + 19 * HOUR, chance.uniform(30, 60), 5400.0) for day in (1, 3)]
    return [*lessons, *shows, Event(6 * DAY + 10 * HOUR, chance.uniform(40, 80), 4200.0)]


def week(events: list[Event], chance: random.Random, *, surprises: bool = False) -> list[Job]:
    """One week, from its Monday on."""
    size = math.exp(chance.gauss(0, WEEK_SIGMA))
    jobs: list[Job] = []
    for event in events:
        day = int(event.at // DAY)
        if chance.random() < CALLED_OFF or (surprises and day == HOLIDAY):
            continue
        late = HOUR if surprises and day == LATE_DAY else 0.0
        count = round(event.jobs * size * math.exp(chance.gauss(0, SIZE_SIGMA)))
        jobs += _crowd(Event(event.at + late, count, event.seconds), chance)
    if surprises:
        jobs += _crowd(Event(CROWD_DAY * DAY + 21.5 * HOUR, 40, 1800.0), chance)
    at = 0.0
    while (at := at + chance.expovariate(_rate(at) * size)) < WEEK:
        jobs.append((at, Arrival(chance.expovariate(1 / 600.0))))
    return sorted(((max(at, 0.0), job) for at, job in jobs), key=lambda each: each[0])


def _crowd(event: Event, chance: random.Random) -> list[Job]:
    """Most come within two minutes of the beginning, a few before it."""
    return [
        (
            event.at + chance.gauss(15, 30),
            Arrival(max(event.seconds * chance.gauss(1, 0.05), 60.0)),
        )
        for _ in range(int(event.jobs))
    ]


def _rate(at: float) -> float:
    """Jobs a second that come at any time: few at night."""
    hour = at % DAY / HOUR
    return (4 + 14 * max(0.0, math.sin((hour - 6) / 16 * math.pi))) / HOUR

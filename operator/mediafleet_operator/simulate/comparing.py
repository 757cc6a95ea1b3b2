"""The engines beside each other on one load, with and without a forecast. Pure.

A forecast needs weeks to learn from. A load of three weeks and more has them in itself; a shorter
one has come before in each of four weeks, just as it is: the best case for a forecast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from mediafleet_common.api.scaling.autoscaling import Autoscaling, Forecast, ForecastUse
from mediafleet_operator.core.autoscaling.forecast import LEAST_WEEKS
from mediafleet_operator.core.autoscaling.model import Past
from mediafleet_operator.core.autoscaling.record import GAP_SECONDS, WEEKS
from mediafleet_operator.simulate.engines import Builtin, ByHpa, ByKeda, Engine
from mediafleet_operator.simulate.runs import Run, Told, run
from mediafleet_operator.simulate.world import Arrival, Terms, World

WEEK_SECONDS: Final = 7 * 86_400.0
BEGIN: Final = 1_800_230_400.0
"""A Monday 00:00 UTC: a load's first job comes then."""
STEP_SECONDS: Final = 5.0
LEARNING_STEP_SECONDS: Final = 30.0
IDLE_SECONDS: Final = 60.0
"""A step while nothing runs or comes: a whole number of an HPA's looks."""
MOMENTS: Final = 720
"""Of a run that are kept."""

Load = Sequence[tuple[float, Arrival]]
"""Jobs by time, in seconds after the first one."""


class Way(StrEnum):
    """Who writes the number of pods."""

    FIXED = "fixed"
    """Nobody: there are always as many as an engine may have at most."""
    BUILTIN = "builtin"
    OBSERVE = "observe"
    """builtin, and a forecast that is only shown."""
    APPLY = "apply"
    """builtin, and a forecast that raises the count."""
    KEDA = "keda"
    HPA = "hpa"

    @property
    def forecasts(self) -> bool:
        """Whether it learns."""
        return self in (Way.OBSERVE, Way.APPLY)


@dataclass(frozen=True, slots=True)
class Case:
    """A load, the fleet that it comes to, and what is asked of engines."""

    load: Load
    terms: Terms
    asked: Autoscaling
    """With `max`, and without a forecast."""

    @property
    def most(self) -> int:
        """Pods at most."""
        return self.asked.max or 1

    @property
    def seconds(self) -> float:
        """Until the last job ends."""
        return max((at + arrival.seconds for at, arrival in self.load), default=0.0)

    @property
    def learns_within(self) -> bool:
        """Whether the load is long enough to learn from its own first weeks."""
        return self._weeks > LEAST_WEEKS

    @property
    def lessons(self) -> int:
        """How often the load has come before, for the forecast."""
        return 0 if self.learns_within else math.ceil(WEEKS / self._weeks)

    @property
    def lesson_seconds(self) -> float:
        """From one time to the next: whole weeks."""
        return self._weeks * WEEK_SECONDS

    @property
    def _weeks(self) -> int:
        last = max((at for at, _ in self.load), default=0.0)
        return max(1, math.ceil(last / WEEK_SECONDS))


class _Fixed:
    """Leaves the number as it is."""

    def step(self, world: World) -> None:
        """Nothing."""


def learnt(case: Case, told: Told = lambda came: None) -> Past:
    """What a forecast has recorded before the load comes."""
    engine = Builtin(_asked(case, Way.OBSERVE))
    begin = BEGIN - case.lessons * case.lesson_seconds
    world = World(case.terms, _least(case), begin)
    for _ in range(case.lessons):
        until = begin + case.lesson_seconds
        load, step = _from(case.load, begin), LEARNING_STEP_SECONDS
        run(load, engine, world, until, step, WEEK_SECONDS, told, GAP_SECONDS)
        begin = until
    return replace(engine.past, advice=(), idle_since=None)


def through(case: Case, way: Way, past: Past, told: Told = lambda came: None) -> Run:
    """The load through one of them; `past` is what a forecast has learnt."""
    world = World(case.terms, case.most if way is Way.FIXED else _least(case), BEGIN)
    until, every = BEGIN + case.seconds, max(case.seconds / MOMENTS, STEP_SECONDS)
    engine, load = _engine(case, way, past), _from(case.load, BEGIN)
    return run(load, engine, world, until, STEP_SECONDS, every, told, IDLE_SECONDS)


def _from(load: Load, begin: float) -> list[tuple[float, Arrival]]:
    return [(begin + at, arrival) for at, arrival in load]


def _least(case: Case) -> int:
    return max(case.asked.min, 1)


def _asked(case: Case, way: Way) -> Autoscaling:
    use = ForecastUse.APPLY if way is Way.APPLY else ForecastUse.OBSERVE
    return case.asked.model_copy(update={"forecast": Forecast(use=use)})


def _engine(case: Case, way: Way, past: Past) -> Engine:
    makers: dict[Way, Callable[[], Engine]] = {
        Way.FIXED: _Fixed,
        Way.BUILTIN: lambda: Builtin(case.asked),
        Way.KEDA: lambda: ByKeda(case.asked),
        Way.HPA: lambda: ByHpa(case.asked),
    }
    return makers[way]() if way in makers else Builtin(_asked(case, way), past)

"""A load through one engine, on virtual time: what came of it, and the count over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mediafleet_operator.simulate.engines import Builtin, Engine
from mediafleet_operator.simulate.world import Arrival, Tally, World

Told = Callable[[int], None]
"""Told how many jobs have come since it was last told."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What was so at a moment."""

    at: float
    wanted: int
    """Pods that are asked for."""
    had: int
    """Pods that take work."""
    work: int
    """Jobs that run."""
    forecast: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What came of it."""

    tally: Tally
    moments: tuple[Moment, ...]

    @property
    def waited(self) -> int:
        """Requests that waited and were placed."""
        return sum(each > 0 for each in self.tally.waited)


def run(
    load: Sequence[tuple[float, Arrival]],
    engine: Engine,
    world: World,
    until: float,
    step_seconds: float,
    moment_seconds: float,
    told: Told = lambda came: None,
    idle_seconds: float = 0.0,
) -> Run:
    """Let an engine go through a load whose times are those of the world, until a moment.

    `idle_seconds`: a step while nothing runs, waits or comes, if it is longer than the others.
    """
    at, moments, next_moment = 0, list[Moment](), world.now
    while world.now < until:
        following = load[at][0] if at < len(load) else until
        idle = not (world.work or world.waiting) and following - world.now > idle_seconds
        seconds = max(idle_seconds, step_seconds) if idle else step_seconds
        first, upto = at, world.now + seconds
        while at < len(load) and load[at][0] <= upto:
            at += 1
        world.step((arrival for _, arrival in load[first:at]), seconds=seconds)
        engine.step(world)
        if at > first:
            told(at - first)
        if world.now >= next_moment:
            moments.append(_moment(world, engine))
            next_moment += moment_seconds
    return Run(world.tally, tuple(moments))


def _moment(world: World, engine: Engine) -> Moment:
    verdict = engine.verdict if isinstance(engine, Builtin) else None
    ahead = verdict.forecast if verdict else None
    return Moment(world.now, world.replicas, world.ready, world.work, ahead)

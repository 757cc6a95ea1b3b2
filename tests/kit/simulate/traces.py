"""Traces drawn by chance: those that ship, and as many more as a bench or a test asks for. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.simulate.setup import Setup
from mediafleet_scheduler.simulate.traces import TraceJob

_MIX: Final[Mapping[RequestType, float]] = {
    RequestType.TRACK: 0.50,
    RequestType.TRACK_COMPOSITE: 0.15,
    RequestType.PARTICIPANT: 0.15,
    RequestType.SDK_AUDIO_ROOM_COMPOSITE: 0.05,
    RequestType.ROOM_COMPOSITE: 0.10,
    RequestType.WEB: 0.05,
}
"""Shares of a mixed fleet: many small jobs, one in seven that renders a page."""

HEADERS: Final[Mapping[str, str]] = {
    "burst": "51 track jobs within 0.2 s, as when a webinar begins.",
    "day": "A day of an office product: two peaks, quiet nights, every type of job.",
    "mixed": "Three hours of tracks and pages together, near what ten pods of 16 CPUs take.",
}


def burst(
    chance: random.Random,
    jobs: int = 51,
    within: float = 0.2,
    kind: RequestType = RequestType.TRACK,
) -> tuple[TraceJob, ...]:
    """Equal jobs of one room at almost the same time."""
    times = sorted(chance.uniform(0, within) for _ in range(jobs))
    first = times[0] if times else 0.0
    return tuple(
        TraceJob(round(at - first, 3), kind, round(chance.uniform(1500, 2100)), "webinar")
        for at in times
    )


def mixed(
    chance: random.Random, per_second: float = 0.07, span: float = 3 * 3600.0, mean: float = 1500.0
) -> tuple[TraceJob, ...]:
    """Jobs of all types, arriving by chance at an even rate; times of long tail."""
    return _drawn(chance, lambda _: per_second, per_second, span, mean)


def loading(
    chance: random.Random, setup: Setup, load: float, span: float = 3600.0, mean: float = 600.0
) -> tuple[TraceJob, ...]:
    """A mixed trace that takes such a share of what the pods of a fleet may be filled to."""
    cost = sum(share * setup.costs.of(kind) for kind, share in _MIX.items())
    room = setup.pods * setup.cpu * setup.max_cpu_utilization
    return mixed(chance, per_second=load * room / (cost * mean), span=span, mean=mean)


def day(chance: random.Random, peak: float = 0.012, mean: float = 2400.0) -> tuple[TraceJob, ...]:
    """A day with peaks at 10 and at 15 o'clock and next to nothing at night."""

    def rate(at: float) -> float:
        hour = at / 3600
        hills = math.exp(-(((hour - 10) / 1.8) ** 2)) + 0.85 * math.exp(-(((hour - 15) / 2.2) ** 2))
        return peak * min(1.0, hills + 0.03)

    return _drawn(chance, rate, peak, 86400.0, mean)


def to_csv(jobs: tuple[TraceJob, ...], header: str) -> str:
    """As a file that `traces.parse` reads."""
    rows = [f"# {header}", "time,type,duration,room"]
    rows += [f"{job.at:g},{job.kind.value},{job.seconds:g},{job.room}" for job in jobs]
    return "\n".join(rows) + "\n"


def shipped() -> dict[str, str]:
    """The traces inside the package, by name."""
    drawn = {
        "burst": burst(random.Random(51)),
        "day": day(random.Random(24)),
        "mixed": mixed(random.Random(7)),
    }
    return {name: to_csv(jobs, HEADERS[name]) for name, jobs in drawn.items()}


def _drawn(
    chance: random.Random, rate: Callable[[float], float], most: float, span: float, mean: float
) -> tuple[TraceJob, ...]:
    """Arrivals at a rate that changes with time (by thinning), each of a type of the mix."""
    kinds, weights = list(_MIX), list(_MIX.values())
    jobs: list[TraceJob] = []
    at = chance.expovariate(most)
    while at < span:
        if chance.random() * most < rate(at):
            kind = chance.choices(kinds, weights)[0]
            seconds = max(
                20.0, round(min(chance.lognormvariate(math.log(mean) - 0.5, 1.0), 4 * mean))
            )
            jobs.append(TraceJob(round(at, 1), kind, seconds, f"room-{chance.randrange(200)}"))
        at += chance.expovariate(most)
    return tuple(replace(job, at=round(job.at - jobs[0].at, 1)) for job in jobs)

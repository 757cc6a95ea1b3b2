"""Run a trace against a fleet on a virtual clock. Pure: the same seed, the same outcome.

A client asks three times, as livekit-server's does, with 1-2 s and 2-4 s between.

Source: livekit/protocol rpc/egress_client.go.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.queue import Waiting, line
from mediafleet_scheduler.simulate.placers import Offer, Placer, placer
from mediafleet_scheduler.simulate.pods import SimulatedPod, entry, fleet
from mediafleet_scheduler.simulate.setup import Outcome, Placing, Setup
from mediafleet_scheduler.simulate.traces import TraceJob

_PAUSES: Final = ((1.0, 2.0), (2.0, 4.0))
_TOLD_EVERY: Final = 100
"""Jobs."""


class _First(IntEnum):
    """What happens first of what happens at the same moment."""

    END = 0
    STARTED = 1
    MEASURED = 2
    GIVEN = 3
    ASKED = 4


@dataclass(slots=True)
class _Asked:
    """A job that is being asked for."""

    number: int
    job: TraceJob
    attempts: int = 1
    turned_down: int = 0
    refused_by: frozenset[str] = frozenset()
    waited: bool = False
    """Whether this attempt has waited for room."""


Make = Callable[[Sequence[SimulatedPod], Setup, random.Random], Placer]
"""Makes a placer for the pods of a run."""


Told = Callable[[int], None]
"""Told now and then how many jobs of the trace have come since it was last told."""


def run(
    jobs: Sequence[TraceJob], setup: Setup, placing: Placing, told: Told = lambda came: None
) -> tuple[Outcome, ...]:
    """What becomes of each job, in the order of the trace."""
    return run_with(jobs, setup, _making(placing), told)


def run_with(
    jobs: Sequence[TraceJob], setup: Setup, make: Make, told: Told = lambda came: None
) -> tuple[Outcome, ...]:
    """The same with any placer."""
    world = _world(jobs, setup, make, told)
    world.run(until_refused=False)
    return world.outcomes


def refuses(
    jobs: Sequence[TraceJob], setup: Setup, placing: Placing, told: Told = lambda came: None
) -> bool:
    """Whether a job of the trace is refused for good; it looks no further than the first."""
    return _world(jobs, setup, _making(placing), told).run(until_refused=True)


def _making(placing: Placing) -> Make:
    return lambda pods, setup, chance: placer(pods, setup, placing, chance)


def _world(jobs: Sequence[TraceJob], setup: Setup, make: Make, told: Told) -> _World:
    chance = random.Random(setup.seed)
    pods = fleet(setup)
    return _World(jobs, setup, pods, make(pods, setup, chance), chance, told)


class _World:
    """The clock, and what is due when."""

    def __init__(
        self,
        jobs: Sequence[TraceJob],
        setup: Setup,
        pods: Sequence[SimulatedPod],
        placer: Placer,
        chance: random.Random,
        told: Told,
    ) -> None:
        self._told = told
        self._refused = False
        self._jobs = jobs
        self._setup = setup
        self._numbers = {each.pod.uid: number for number, each in enumerate(pods)}
        self._pods = pods
        self._placer = placer
        self._chance = chance
        self._due: list[tuple[float, _First, int, Callable[[float], None]]] = []
        self._turn = itertools.count()
        self._outcomes: dict[int, Outcome] = {}
        self._line: dict[int, tuple[_Asked, Waiting]] = {}
        """Who waits at the desk, by number."""
        self._turns: dict[str, float] = {}
        # Where each job uses what its type costs, metrics tell nothing that is not known.
        self._metrics = placer.reads_metrics and any(job.real_cores is not None for job in jobs)
        self._read: set[str] = set()
        """Pods whose metrics are being read."""
        self._open = len(jobs)
        """Jobs that are neither over nor refused."""

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Of all jobs, once they are over."""
        return tuple(self._outcomes[number] for number in range(len(self._jobs)))

    def run(self, *, until_refused: bool) -> bool:
        """Let things happen until all is over, or a job is refused; whether one was."""
        for number, job in enumerate(self._jobs):
            self._at(job.at, _First.ASKED, functools.partial(self._come, number, job))
        while self._due and self._open and not (self._refused and until_refused):
            now, _, _, happen = heapq.heappop(self._due)
            happen(now)
        return self._refused

    def _come(self, number: int, job: TraceJob, now: float) -> None:
        if (number + 1) % _TOLD_EVERY == 0:
            self._told(_TOLD_EVERY)
        self._ask(_Asked(number, job), now)

    def _at(self, when: float, first: _First, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._due, (when, first, next(self._turn), happen))

    def _ask(self, asked: _Asked, now: float) -> None:
        offer = self._placer.offer(asked.job, now, asked.refused_by)
        if offer.pod is not None:
            self._claim(asked, offer, offer.pod, now)
        elif self._may_wait(asked, offer):
            self._wait(asked, now)
        else:
            self._refuse(asked, offer, now)

    def _claim(self, asked: _Asked, offer: Offer, uid: str, now: float) -> None:
        pod = self._pods[self._numbers[uid]]
        job = entry(asked.number, asked.job, pod.pod, pod.needs[asked.job.kind].cores, now)
        self._placer.claimed(job)
        due = now + offer.after_seconds
        self._at(due, _First.GIVEN, lambda now: self._give(asked, job, pod, now))

    def _may_wait(self, asked: _Asked, offer: Offer) -> bool:
        # Only a desk has a queue; an auction has nobody who would keep it.
        queue = self._setup.queue_seconds > 0 and self._placer.tries_others
        return queue and not offer.final and not asked.waited

    def _wait(self, asked: _Asked, now: float) -> None:
        asked.waited = True
        name, cores = f"EG_{asked.number}", self._pods[0].needs[asked.job.kind].cores
        place = Waiting(
            name, "", asked.job.kind, cores, asked.job.room, asked.job.at, until=math.inf
        )
        self._line[asked.number] = (asked, place)
        over = now + self._setup.queue_seconds
        self._at(over, _First.ASKED, functools.partial(self._wait_is_over, asked, asked.attempts))

    def _wait_is_over(self, asked: _Asked, attempt: int, now: float) -> None:
        if asked.number in self._line and asked.attempts == attempt:
            del self._line[asked.number]
            self._ask(asked, now)

    def _serve_line(self, now: float) -> None:
        """There may be room: places go in the order of the line, as the desk gives them."""
        for place in line((place for _, place in self._line.values()), self._turns, now):
            number = int(place.egress_id.removeprefix("EG_"))
            asked = self._line[number][0]
            offer = self._placer.offer(asked.job, now, ())
            if offer.pod is not None:
                del self._line[number]
                self._turns[place.flow] = now
                self._claim(asked, offer, offer.pod, now)

    def _refuse(self, asked: _Asked, offer: Offer, now: float) -> None:
        knows_at = now + offer.after_seconds
        if offer.final or asked.attempts > len(_PAUSES):
            self._outcomes[asked.number] = Outcome(
                asked.job, None, None, asked.attempts, asked.turned_down, knows_at
            )
            self._open -= 1
            self._refused = True
            return
        self._ask_again(asked, knows_at)

    def _ask_again(self, asked: _Asked, now: float) -> None:
        pause = self._chance.uniform(*_PAUSES[asked.attempts - 1])
        asked.attempts += 1
        asked.refused_by, asked.waited = frozenset(), False
        self._at(now + pause, _First.ASKED, lambda now: self._ask(asked, now))

    def _give(self, asked: _Asked, job: Job, pod: SimulatedPod, now: float) -> None:
        if not pod.admits(pod.needs[job.kind], now):
            asked.turned_down += 1
            self._placer.gone(job.egress_id)
            self._placer.turned_down(job, now)
            if self._placer.tries_others:
                asked.refused_by |= {pod.pod.uid}
                self._ask(asked, now)
            else:
                self._refuse(asked, Offer(None, 0.0), now)
            return
        pod.pending = pod.pending.consumed(now)
        if self._metrics and pod.pod.uid not in self._read:
            self._read.add(pod.pod.uid)
            first = now + self._chance.uniform(0, self._setup.scrape_seconds)
            self._at(first, _First.MEASURED, functools.partial(self._read_metrics, pod))
        # The pod holds the cost from now on; the desk, from the answer.
        uses = asked.job.real_cores
        pod.take(job._replace(started_at=now), job.cores if uses is None else uses)
        self._outcomes[asked.number] = Outcome(
            asked.job, self._numbers[pod.pod.uid], now, asked.attempts, asked.turned_down
        )
        answered = now + self._setup.start_seconds
        # A job counts with its cost until its pod tells its load, so nobody asks when it started.
        if self._metrics and self._setup.start_seconds < asked.job.seconds:
            self._at(answered, _First.STARTED, lambda now: self._placer.started(job.egress_id, now))
        self._at(
            now + asked.job.seconds, _First.END, lambda now: self._end(pod, job.egress_id, now)
        )

    def _end(self, pod: SimulatedPod, egress_id: str, now: float) -> None:
        pod.end(egress_id)
        self._placer.gone(egress_id)
        self._open -= 1
        if self._line:
            self._serve_line(now)

    def _read_metrics(self, pod: SimulatedPod, now: float) -> None:
        """The desk reads what is so now; with `late_seconds` it gets to hear of it later.

        Of a pod that runs nothing one reading is as good as many.
        """
        if self._chance.random() >= self._setup.missing_share:
            load = pod.load()
            heard = now + self._chance.uniform(0, self._setup.late_seconds)
            hear = functools.partial(self._placer.measured, pod.pod, load)
            self._at(heard, _First.MEASURED, hear)
        if pod.running:
            again = now + self._setup.scrape_seconds
            self._at(again, _First.MEASURED, functools.partial(self._read_metrics, pod))
        else:
            self._read.discard(pod.pod.uid)

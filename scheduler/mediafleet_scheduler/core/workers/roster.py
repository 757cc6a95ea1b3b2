"""The workers of a broker, and which of them gets the next task of a model. Pure.

Capacity is never counted up and down: it is what the attempts that are there say.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Final

from mediafleet_scheduler.core.workers.choice.candidates import Candidate, Chosen
from mediafleet_scheduler.core.workers.choice.moments import Moments
from mediafleet_scheduler.core.workers.choice.order import Order
from mediafleet_scheduler.core.workers.choice.paces import FORGET_SECONDS, Paces
from mediafleet_scheduler.core.workers.choice.versions import too_old
from mediafleet_scheduler.core.workers.standing import Attempt, Standing
from mediafleet_scheduler.core.workers.steps import Rules
from mediafleet_scheduler.core.workers.views import Target, Worker


class _Serving:
    """The workers of one model."""

    def __init__(self, target: Target) -> None:
        self.standings: Final[dict[str, Standing]] = {}
        self.order: Final = Order(target)
        self.one_task = 1.0
        """What a task adds to the load of a worker of the usual capacity, which is the median."""
        self._capacities: list[int] = []

    def joins(self, standing: Standing, capacity: int) -> bool:
        """One more; whether what is usual has changed."""
        self.standings[standing.worker.id] = standing
        bisect.insort(self._capacities, capacity)
        return self._changed()

    def leaves(self, worker: str, capacity: int) -> bool:
        """One less; whether what is usual has changed."""
        del self.standings[worker]
        self.order.remove(worker)
        del self._capacities[bisect.bisect_left(self._capacities, capacity)]
        return self._changed()

    def _changed(self) -> bool:
        before, count = self.one_task, len(self._capacities)
        if count:
            self.one_task = 1.0 / self._capacities[count // 2]
        return self.one_task != before


class Roster:
    """All workers. Takes what happens to them with its time."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._standings: dict[str, Standing] = {}
        self._serving: dict[Target, _Serving] = {}
        self._least: dict[Target, str] = {}
        self._paces = Paces()
        self._pauses: Moments[str] = Moments(self._is_pause)
        self._memories: Moments[tuple[str, Target]] = Moments(
            lambda moment, known: self._paces.until(*known) == moment
        )
        self._turn = 0

    # What there is

    def __iter__(self) -> Iterator[Standing]:
        """All, in the order of connecting."""
        return iter(self._standings.values())

    def get(self, worker: str) -> Standing | None:
        """What is known of a worker; `None`: it is not there."""
        return self._standings.get(worker)

    def serving(self, target: Target) -> Collection[Standing]:
        """The workers of a model."""
        known = self._serving.get(target)
        return () if known is None else known.standings.values()

    def fitting(self, target: Target) -> list[Standing]:
        """The workers of a model whose runner is of the version that is asked for."""
        least = self._least.get(target)
        return [each for each in self.serving(target) if not each.is_too_old(target, least)]

    def as_counted(self, worker: Worker) -> Worker:
        """A worker without the models whose runner is not of the version that is asked for."""
        offers = {
            target: offer
            for target, offer in worker.offers.items()
            if not too_old(offer.version, self._least.get(target))
        }
        return worker if len(offers) == len(worker.offers) else replace(worker, offers=offers)

    def candidates(self, target: Target, now: float) -> list[Candidate]:
        """The workers of a model as a choice looks at them, each counted anew."""
        return [self._look(target, now)(each.worker.id) for each in self.serving(target)]

    def next_resume(self) -> float | None:
        """When a pause of a worker is over; `None`: none is paused."""
        return self._pauses.first()

    # What happens

    def asks_for(self, least: Mapping[Target, str]) -> None:
        """The least version of each model's runner that is given tasks; others: any."""
        changed = {each for each in {**least, **self._least} if self._differs(each, least)}
        self._least = dict(least)
        for target in changed:
            self._touch_all(target, changed=True)

    def _differs(self, target: Target, least: Mapping[Target, str]) -> bool:
        return self._least.get(target) != least.get(target)

    def connected(self, worker: Worker, *, held: bool) -> None:
        """A worker has registered."""
        self._turn += 1
        standing = self._standings[worker.id] = Standing(worker, self._turn, draining=held)
        for target, offer in worker.offers.items():
            serving = self._serving.setdefault(target, _Serving(target))
            self._touch_all(target, changed=serving.joins(standing, offer.capacity))
        self.touch(standing)

    def lost(self, worker: str) -> Standing | None:
        """A worker is gone; what was known of it, `None`: nothing."""
        standing = self._standings.pop(worker, None)
        if standing is None:
            return None
        for target, offer in standing.worker.offers.items():
            serving = self._serving[target]
            others_too = serving.leaves(worker, offer.capacity)
            others_too |= self._paces.forget(worker, target)
            self._touch_all(target, changed=others_too)
            if not serving.standings:
                del self._serving[target]
        return standing

    def touch(self, standing: Standing) -> None:
        """Something happened to a worker."""
        for target in standing.worker.offers:
            self._serving[target].order.touch(standing.worker.id)

    def goes_last(self, standing: Standing) -> None:
        """A worker was given a task, or failed one: all others have waited longer."""
        self._turn += 1
        standing.last_given = self._turn
        self.touch(standing)

    def full(self, standing: Standing, target: Target, now: float) -> None:
        """A worker says that it has no room."""
        until = standing.full_until[target] = now + self._rules.full_pause_seconds
        self._pauses.add(until, standing.worker.id)
        self.touch(standing)

    def took(self, attempt: Attempt, now: float) -> None:
        """A worker has done a task, which somebody waited for."""
        worker, target = attempt.worker, attempt.target
        changed = self._paces.took(worker, target, now - attempt.began, now)
        self._memories.add(now + FORGET_SECONDS, (worker, target))
        self._touch_all(target, changed=changed)

    def trust(self, standing: Standing) -> None:
        """A worker has done a task: its earlier failures do not count."""
        standing.faults = standing.times = 0
        standing.out_until = 0.0
        self.touch(standing)

    def blame(self, worker: str, now: float) -> None:
        """Count a failure against a worker that others did not share."""
        standing = self._standings.get(worker)
        if standing is None:
            return
        standing.faults += 1
        if standing.faults >= self._rules.faults:
            back_off = self._rules.back_off_seconds * 2**standing.times
            standing.out_until = now + min(back_off, self._rules.max_back_off_seconds)
            standing.times = min(standing.times + 1, 16)
            self._pauses.add(standing.out_until, worker)
            self.touch(standing)

    def resumed(self, now: float) -> list[Target]:
        """Pauses that are over by now: the models that workers may have room for again."""
        for worker, target in self._memories.due(now):
            self._touch_all(target, changed=self._paces.forget(worker, target))
            self._serving[target].order.touch(worker)
        found: list[Target] = []
        for worker in self._pauses.due(now):
            self.touch(self._standings[worker])
            found += self._standings[worker].worker.offers
        return found

    # Choice

    def room(self, target: Target, now: float) -> int:
        """How many workers have room for a model."""
        serving = self._serving.get(target)
        if serving is None:
            return 0
        serving.order.look_anew(self._look(target, now))
        return len(serving.order)

    def best(
        self, target: Target, excluded: Collection[str], preferred: str | None, now: float
    ) -> Chosen | None:
        """The worker to give a task; `None`: none has room now. `preferred` comes first."""
        if not self.room(target, now):
            return None
        return self._serving[target].order.best(excluded, preferred)

    # How

    def _look(self, target: Target, now: float) -> Callable[[str], Candidate]:
        serving = self._serving[target]

        def look(worker: str) -> Candidate:
            pace = self._paces.pace(worker, target)
            standing, least = serving.standings[worker], self._least.get(target)
            return standing.candidate(target, now, pace, serving.one_task, least)

        return look

    def _touch_all(self, target: Target, *, changed: bool) -> None:
        if changed and (serving := self._serving.get(target)) is not None:
            serving.order.touch(*serving.standings)

    def _is_pause(self, moment: float, worker: str) -> bool:
        standing = self._standings.get(worker)
        return standing is not None and (
            standing.out_until == moment or moment in standing.full_until.values()
        )

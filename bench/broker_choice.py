"""How long tasks wait and take by the broker's choice of workers, beside a first-fit manager's.

`python -m bench.broker_choice`. Virtual time: eight workers, the fastest eight times as fast as the
slowest, which registered first; 1,000 tasks at random moments. A task waits until a worker works on
it: a worker that takes four at a time has one runner that does them in turn. The time until the
answer is told for a worker that shares its speed among its tasks too, as a GPU does.

First fit is go-livepeer's manager (core/ai_worker.go, selectWorker): the first worker that
registered and has room; where none has, the task is refused. Here its caller asks again after a
second.
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field
from typing import Final, Protocol

from rich.console import Console
from rich.table import Table

from mediafleet_scheduler.core.workers.dispatch import Dispatcher
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.steps import Send, Step
from mediafleet_scheduler.core.workers.views import Offer, Target, Worker
from mediafleet_testbed.load.bursts import quantile

TARGET: Final = Target(Pipeline.TEXT_TO_IMAGE, "m")
SPEEDS: Final = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
"""Tasks of one second that a worker does in a second, in the order of registering."""
TASKS: Final = 1000
RETRY_SECONDS: Final = 1.0

Given = list[tuple[int, int]]
"""Task and worker."""


class Manager(Protocol):
    """Who gives tasks to workers."""

    def came(self, task: int, now: float) -> Given:
        """A task has come, or comes again."""

    def done(self, task: int, worker: int, now: float) -> Given:
        """A worker has done a task."""


@dataclass
class Broker:
    """Ours."""

    capacity: int
    attempts: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dispatcher = Dispatcher(itertools.count(1).__next__)
        for number in range(len(SPEEDS)):
            offer = Offer(self.capacity, warm=True)
            self.dispatcher.connected(Worker(str(number), "", {TARGET: offer}), 0.0)

    def came(self, task: int, now: float) -> Given:
        """As Manager."""
        return self._given(self.dispatcher.submitted(str(task), TARGET, now + 1e6, now))

    def done(self, task: int, worker: int, now: float) -> Given:
        """As Manager."""
        return self._given(self.dispatcher.succeeded(self.attempts.pop(task), now))

    def _given(self, steps: list[Step]) -> Given:
        sends = [step for step in steps if isinstance(step, Send)]
        self.attempts |= {int(step.task): step.attempt for step in sends}
        return [(int(step.task), int(step.worker)) for step in sends]


@dataclass
class FirstFit:
    """The first that registered and has room."""

    capacity: int

    def __post_init__(self) -> None:
        self.free = [self.capacity] * len(SPEEDS)

    def came(self, task: int, now: float) -> Given:
        """As Manager."""
        for worker, free in enumerate(self.free):
            if free > 0:
                self.free[worker] -= 1
                return [(task, worker)]
        return []

    def done(self, task: int, worker: int, now: float) -> Given:
        """As Manager."""
        self.free[worker] += 1
        return []


@dataclass
class Pace:
    """A worker: what is left of its tasks, in the order of coming."""

    speed: float
    shares: bool
    """Whether it works on all at once, and not in turn."""
    left: dict[int, float] = field(default_factory=dict)

    def running(self) -> list[int]:
        """Tasks that it works on."""
        return list(self.left)[: None if self.shares else 1]

    def seconds(self) -> float:
        """Until the next one is done."""
        running = self.running()
        return min(self.left[each] for each in running) * len(running) / self.speed

    def works(self, seconds: float) -> None:
        """Time passes."""
        running = self.running()
        for task in running:
            self.left[task] -= seconds * self.speed / len(running)


@dataclass
class Times:
    """Seconds of each task from its coming on."""

    waited: dict[int, float] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)

    def p95(self) -> tuple[float, float]:
        """Of the wait, and of the whole time."""
        found = [quantile(sorted(each), 0.95) for each in (self.waited.values(), self.took)]
        return found[0] or 0.0, found[1] or 0.0


def run(manager: Manager, load: float, *, shares: bool, retries: bool, seed: int = 1) -> Times:
    """1,000 tasks; `load` is the share of all workers' speed."""
    chance = random.Random(seed)
    came, moment = {}, 0.0
    for task in range(TASKS):
        moment += chance.expovariate(load * sum(SPEEDS))
        came[task] = moment
    coming = [(at, task) for task, at in came.items()]
    workers = [Pace(speed, shares) for speed in SPEEDS]
    times, now = Times(), 0.0
    while len(times.took) < TASKS:
        ends = [(now + each.seconds(), n) for n, each in enumerate(workers) if each.left]
        until = min([each[0] for each in ends] + [at for at, _ in coming[:1]])
        for each in workers:
            each.works(until - now)
        now = until
        given: Given = []
        for _, number in (each for each in ends if each[0] <= now):
            left = workers[number].left
            task = min(workers[number].running(), key=left.__getitem__)
            del left[task]
            times.took.append(now - came[task])
            given += manager.done(task, number, now)
        while coming and coming[0][0] <= now:
            _, task = heapq.heappop(coming)
            found = manager.came(task, now)
            if not found and retries:
                heapq.heappush(coming, (now + RETRY_SECONDS, task))
            given += found
        for task, number in given:
            workers[number].left[task] = 1.0
        for each in workers:
            for task in each.running():
                times.waited.setdefault(task, now - came[task])
    return times


def told(ours: float, theirs: float) -> str:
    """Two times and how they compare."""
    return f"{ours:.2f} / {theirs:.2f}: {ours / theirs:.2f} x" if theirs else f"{ours:.2f} / 0.00"


def main() -> None:
    """Print the table."""
    columns = ("wait", "until the answer", "until the answer, shared speed")
    table = Table("capacity, load", *(f"p95, s: {each}" for each in columns))
    for capacity, load in itertools.product((1, 4), (0.3, 0.6, 0.8)):
        cells = []
        for shares in (False, True):
            ours = run(Broker(capacity), load, shares=shares, retries=False).p95()
            theirs = run(FirstFit(capacity), load, shares=shares, retries=True).p95()
            cells += [told(*both) for both in zip(ours, theirs, strict=True)]
        del cells[2]
        table.add_row(f"{capacity} a worker, {load:.0%}", *cells)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()

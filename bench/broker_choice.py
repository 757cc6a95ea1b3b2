"""How long tasks take by the broker's choice of workers, beside a first-fit manager's.

`python -m bench.broker_choice`. Virtual time: eight workers, the fastest eight times as fast as the
slowest, 1,000 tasks at random moments. A worker shares its speed among its tasks, as a GPU does.

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


def run(manager: Manager, load: float, seed: int, *, retries: bool) -> list[float]:
    """Seconds from each task's coming to its answer; `load` is the share of all workers' speed."""
    chance = random.Random(seed)
    rate = load * sum(SPEEDS)
    came, moment = {}, 0.0
    for task in range(TASKS):
        moment += chance.expovariate(rate)
        came[task] = moment
    coming = [(at, task) for task, at in came.items()]
    left: list[dict[int, float]] = [{} for _ in SPEEDS]
    took: list[float] = []
    now = 0.0
    while len(took) < TASKS:
        ends = [
            (now + min(tasks.values()) * len(tasks) / SPEEDS[worker], worker)
            for worker, tasks in enumerate(left)
            if tasks
        ]
        until = min([each[0] for each in ends] + [at for at, _ in coming[:1]])
        for worker, tasks in enumerate(left):
            for task in tasks:
                tasks[task] -= (until - now) * SPEEDS[worker] / len(tasks)
        now = until
        given: Given = []
        for _, worker in (each for each in ends if each[0] <= now):
            task = min(left[worker], key=left[worker].__getitem__)
            del left[worker][task]
            took.append(now - came[task])
            given += manager.done(task, worker, now)
        while coming and coming[0][0] <= now:
            _, task = heapq.heappop(coming)
            found = manager.came(task, now)
            if not found and retries:
                heapq.heappush(coming, (now + RETRY_SECONDS, task))
            given += found
        for task, worker in given:
            left[worker][task] = 1.0
    return sorted(took)


def main() -> None:
    """Print the table."""
    table = Table("capacity, load", "broker p50 / p95, s", "first fit p50 / p95, s", "p95")
    for capacity, load in itertools.product((1, 4), (0.3, 0.6, 0.8)):
        ours = run(Broker(capacity), load, 1, retries=False)
        theirs = run(FirstFit(capacity), load, 1, retries=True)
        found = [[quantile(each, share) or 0.0 for share in (0.5, 0.95)] for each in (ours, theirs)]
        table.add_row(
            f"{capacity} a worker, {load:.0%}",
            *(f"{each[0]:.2f} / {each[1]:.2f}" for each in found),
            f"{found[0][1] / found[1][1]:.2f} x",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()

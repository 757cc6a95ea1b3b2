"""Each way of placing a trace, run one after the other or, of a long trace, side by side."""

from __future__ import annotations

import concurrent.futures
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mediafleet.simulate.fleet import MOST_PODS

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

    from mediafleet_scheduler.simulate.setup import Outcome, Placing, Setup
    from mediafleet_scheduler.simulate.traces import TraceJob

Found = tuple["Sequence[Outcome]", "int | None"]
"""What became of each job, and the fewest pods that refuse none."""
News = str | int
"""What is run now, in words; or how many jobs of the trace have come since."""
Say = Callable[["Placing", News], None]
"""Told all news of a way of placing."""

WORTH_PROCESSES: Final = 5000
"""Jobs times ways: fewer take less time than processes need to begin."""
_SHOWN_EVERY_SECONDS: Final = 0.1


def run_all(
    jobs: Sequence[TraceJob], setup: Setup, placings: Sequence[Placing], say: Say
) -> dict[Placing, Found]:
    """What each way of placing makes of the jobs: the same, however many run at once."""
    at_once = min(len(placings), os.cpu_count() or 1)
    if at_once == 1 or len(jobs) * len(placings) < WORTH_PROCESSES:
        return {each: _one(jobs, setup, each, functools.partial(say, each)) for each in placings}
    context = multiprocessing.get_context("spawn")
    news: SimpleQueue[tuple[Placing, News]] = context.SimpleQueue()
    with concurrent.futures.ProcessPoolExecutor(
        at_once, context, _begin, (jobs, setup, news)
    ) as pool:
        # Auctions take longest, and begin first.
        order = sorted(placings, key=lambda each: each.by_desk)
        found = {each: pool.submit(_there, each) for each in order}
        running: set[concurrent.futures.Future[Found]] = set(found.values())
        while running:
            _, running = concurrent.futures.wait(running, _SHOWN_EVERY_SECONDS)
            while not news.empty():
                say(*news.get())
        return {each: found[each].result() for each in placings}


def _one(
    jobs: Sequence[TraceJob], setup: Setup, placing: Placing, say: Callable[[News], None]
) -> Found:
    from mediafleet_scheduler.simulate.fewest import pods_guessed, pods_needed
    from mediafleet_scheduler.simulate.running import refuses, run

    say(placing.value)
    outcomes = run(jobs, setup, placing, say)

    def refused_with(count: int) -> bool:
        if count == setup.pods:
            return any(each.pod is None for each in outcomes)
        say(f"{placing.value}, {count} pods")
        return refuses(jobs, replace(setup, pods=count), placing, say)

    guess = pods_guessed(jobs, setup, placing, MOST_PODS)
    return outcomes, pods_needed(refused_with, guess, MOST_PODS)


_given: list[tuple[Sequence[TraceJob], Setup, SimpleQueue[tuple[Placing, News]]]] = []
"""What a process of ours was given once, for all that it runs."""


def _begin(jobs: Sequence[TraceJob], setup: Setup, news: SimpleQueue[tuple[Placing, News]]) -> None:
    """It ends with its parent, and says nothing when it is interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _given.append((jobs, setup, news))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _there(placing: Placing) -> Found:
    ((jobs, setup, news),) = _given
    return _one(jobs, setup, placing, lambda told: news.put((placing, told)))

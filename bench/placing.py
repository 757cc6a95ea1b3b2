"""How good the places are that the modes find, over many traces on a virtual clock.

    pack         pods used, beside the fewest that any placing needs
    type_aware   pages refused that perfect foresight would have placed, beside pack and upstream
    late news    CPUs of the jobs accepted while metrics come late or not at all, beside the same
                 mode that sees what every pod really runs

`python -m bench.placing [TRACES [JOBS]]`; 1000 and 100000 take the better part of an hour. The unit
tests run the same with smaller numbers.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tests.kit.simulate import traces as invented
from tests.kit.simulate.foresight import GreedyOracle, fewest_pods_ever, missed

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.simulate.figures import figures
from mediafleet_scheduler.simulate.running import run, run_with
from mediafleet_scheduler.simulate.setup import Outcome, Placing, Setup
from mediafleet_scheduler.simulate.traces import TraceJob

PAGES: Final = frozenset(kind for kind in RequestType if kind.needs_chrome)


@dataclass(frozen=True, slots=True)
class Packed:
    """Pods that pack used for a trace at most, and the fewest that were possible."""

    used: int
    fewest: int

    @property
    def within(self) -> bool:
        """Whether they are within what first fit decreasing would promise."""
        return self.used <= 1.22 * self.fewest + 1


def packed(seed: int, *, stay: bool) -> Packed:
    """Pack on a trace of jobs of all types, with as many pods as it likes.

    `stay`: no job ends while others come, so that pods are only filled; else they come and go, and
    leave gaps that no order could have foreseen.
    """
    chance = random.Random(seed)
    setup = Setup(pods=60, cpu=chance.choice([4.0, 8.0, 16.0, 32.0]), seed=seed)
    busy = replace(setup, pods=chance.randrange(2, 25))
    jobs = invented.loading(chance, busy, chance.uniform(0.3, 1.0), 1800, chance.uniform(200, 900))
    if stay:
        arrived = sorted(jobs, key=lambda job: job.at)[: setup.pods]
        jobs = tuple(replace(job, seconds=2 * 1800.0) for job in arrived)
    outcomes = run(jobs, setup, Placing.PACK)
    return Packed(figures(outcomes, setup).busy_most, fewest_pods_ever(outcomes, setup))


def pages_missed(seed: int, placing: Placing, cpu: float = 16.0, most: float = 0.6) -> int:
    """Pages refused in a mixed trace, though foresight finds them a place beside all others."""
    chance = random.Random(seed)
    setup = Setup(pods=chance.randrange(4, 13), cpu=cpu, seed=seed)
    jobs = invented.loading(chance, setup, chance.uniform(0.2, most))
    return len(missed(run(jobs, setup, placing), setup, PAGES))


@dataclass(frozen=True, slots=True)
class LateNews:
    """What was accepted while metrics came late or not at all."""

    outcomes: Sequence[Outcome]
    setup: Setup
    accepted_cores: float
    oracle_cores: float

    @property
    def share(self) -> float:
        """CPUs accepted, of what the oracle accepts."""
        return self.accepted_cores / self.oracle_cores


def late_news(jobs: int, placing: Placing, seed: int = 1) -> LateNews:
    """A fleet that is asked for more than it has; jobs use 0.3 to 1.2 of what they cost."""
    chance = random.Random(seed)
    setup = Setup(
        pods=20, cpu=16.0, seed=seed, scrape_seconds=5.0, late_seconds=30.0, missing_share=0.3
    )
    trace = too_many(chance, jobs)
    outcomes = run(trace, setup, placing)
    return LateNews(outcomes, setup, _accepted(outcomes, setup), by_oracle(trace, setup, placing))


def too_many(chance: random.Random, jobs: int) -> tuple[TraceJob, ...]:
    """So many jobs of all types, one a second: more than twenty pods of 16 CPUs have room for."""
    span = jobs / 0.9
    return tuple(_real(chance, invented.mixed(chance, 1.0, span, mean=300.0)))[:jobs]


def by_oracle(trace: Sequence[TraceJob], setup: Setup, placing: Placing) -> float:
    """CPUs of the jobs that the same mode accepts which sees what every pod really runs."""
    outcomes = run_with(
        trace, setup, lambda pods, setup, chance: GreedyOracle(pods, setup, placing, chance)
    )
    return _accepted(outcomes, setup)


def _real(chance: random.Random, jobs: Sequence[TraceJob]) -> Iterator[TraceJob]:
    costs = Setup().costs
    for job in jobs:
        yield replace(job, real_cores=costs.of(job.kind) * chance.uniform(0.3, 1.2))


def _accepted(outcomes: Sequence[Outcome], setup: Setup) -> float:
    return sum(setup.costs.of(each.job.kind) for each in outcomes if each.pod is not None)


def main(traces: int = 100, jobs: int = 10_000) -> None:
    """Print the figures."""
    began = time.monotonic()
    for stay in (True, False):
        results = [packed(seed, stay=stay) for seed in range(traces)]
        worst = max((each.used - 1) / each.fewest for each in results if each.fewest)
        within = sum(each.within for each in results)
        jobs_do = "stay" if stay else "come and go"
        print(
            f"pack, jobs that {jobs_do}: {within} of {traces} traces within 1.22 x the bound + 1; "
            f"worst {worst:.2f} x + 1",
            flush=True,
        )
    for cpu in (4.0, 8.0, 16.0):
        for placing in (Placing.TYPE_AWARE, Placing.PACK, Placing.UPSTREAM):
            none = sum(not pages_missed(seed, placing, cpu) for seed in range(traces))
            share = none / traces
            print(
                f"pods of {cpu:g} CPUs, {placing.value}: no page missed in {share:.1%} of traces",
                flush=True,
            )
    for placing in (Placing.SPREAD, Placing.PACK, Placing.TYPE_AWARE):
        news = late_news(jobs, placing)
        refused = sum(each.pod is None for each in news.outcomes)
        turned = sum(each.turned_down for each in news.outcomes)
        print(
            f"late metrics, {placing.value}: {news.share:.1%} of the CPUs that the oracle accepts; "
            f"{refused} of {jobs} refused, {turned} tries turned down by a pod"
        )
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:3]))

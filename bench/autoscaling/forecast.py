"""`python -m bench.autoscaling.forecast [SEED…]`: the forecast against the engine without it.

Four noisy weeks are watched (`use: observe`); the fifth and a week of surprises then come to two
fleets that are alike but for the forecast. The same record serves both. Who refuses work saves the
pods for it, so pod hours are compared with those of a third fleet, which is like the first but lets
requests wait until there is room: all three do the same work, but for what is refused.
"""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from typing import Final

from bench.autoscaling.weeks import WEEK, Event, Job, pattern, week
from rich.console import Console
from rich.table import Table

from mediafleet_common.api.scaling.autoscaling import Autoscaling
from mediafleet_operator.core.autoscaling.model import Past
from mediafleet_operator.core.autoscaling.record import packed
from mediafleet_operator.simulate.engines import Builtin
from mediafleet_operator.simulate.runs import Run, run
from mediafleet_operator.simulate.world import Terms, World

MONDAY: Final = 1_800_230_400.0
JUDGED_SEEDS: Final = (101, 102, 103)
"""Others than the forecast was made with."""
TERMS: Final = Terms(each=4, start_seconds=45, wait_seconds=20)
LEARNING_STEP: Final = 30.0
STEP: Final = 5.0


def asked(use: str | None) -> Autoscaling:
    """The fleet's block, with or without a forecast."""
    block = {"min": 2, "max": 60, "buffer": {"slots": 4, "percent": 10}}
    return Autoscaling.model_validate(block | ({"forecast": {"use": use}} if use else {}))


def at(jobs: list[Job], begin: float) -> list[Job]:
    """A week's jobs from a moment on."""
    return [(begin + when, arrival) for when, arrival in jobs]


def learn(events: list[Event], chance: random.Random) -> Past:
    """What an operator has recorded after four weeks."""
    engine, world = Builtin(asked("observe")), World(TERMS, 2, MONDAY)
    for number in range(4):
        begin = MONDAY + number * WEEK
        run(at(week(events, chance), begin), engine, world, begin + WEEK, LEARNING_STEP, WEEK)
    return replace(engine.past, advice=(), idle_since=None)


def judge(jobs: list[Job], use: str | None, past: Past, terms: Terms = TERMS) -> Run:
    """A week after the four."""
    begin = MONDAY + 4 * WEEK
    engine, world = Builtin(asked(use), past), World(terms, 2, begin)
    return run(at(jobs, begin), engine, world, begin + WEEK, STEP, 900)


def main() -> None:
    """Print a table: for each seed and week, without and with."""
    seeds = [int(each) for each in sys.argv[1:]] or JUDGED_SEEDS
    table = Table(title="builtin without and with forecast: apply")
    for head in (
        "seed",
        "week",
        "jobs",
        "refused",
        "waited",
        "wait seconds",
        "pod hours",
        "record",
    ):
        table.add_column(head, justify="right")
    for seed in seeds:
        chance = random.Random(seed)
        events = pattern(chance)
        past = learn(events, chance)
        for surprises in (False, True):
            jobs = week(events, chance, surprises=surprises)
            runs = [judge(jobs, None, Past()), judge(jobs, "apply", past)]
            patient = judge(jobs, None, Past(), replace(TERMS, wait_seconds=600))
            bare, ahead, served = (each.tally.pod_seconds / 3600 for each in (*runs, patient))
            table.add_row(
                str(seed),
                "surprises" if surprises else "fifth",
                str(len(jobs)),
                " -> ".join(str(each.tally.refused) for each in runs),
                " -> ".join(str(each.waited) for each in runs),
                " -> ".join(f"{sum(each.tally.waited):.0f}" for each in runs),
                f"{bare:.0f}, {served:.0f} -> {ahead:.0f} ({ahead / served - 1:+.1%})",
                f"{len(packed(past.record.peaks))} B",
            )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()

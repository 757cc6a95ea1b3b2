"""`python -m bench.autoscaling [FILE…]`: the engines through each scenario, one table each.

Time is virtual. The HPA and KEDA are played by their arithmetic (mediafleet_operator.simulate), the
built-in engine and the need for pods are the product's own code.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.autoscaling.scenario import Named, Scenario, all_of_them, load
from rich.console import Console
from rich.table import Table

from mediafleet_common.api.scaling.autoscaling import Autoscaling
from mediafleet_operator.core.autoscaling.model import policy
from mediafleet_operator.core.autoscaling.need import need
from mediafleet_operator.simulate.engines import Builtin, ByHpa, ByKeda, Engine
from mediafleet_operator.simulate.world import Tally, Terms, World

BEGINS_AT: Final = 1_800_000_000.0
FLAP_SECONDS: Final = 300.0
"""A turn within so many seconds of the last change is a flap."""
ENGINES: Final[dict[str, Callable[[Autoscaling], Engine]]] = {
    "builtin": Builtin,
    "keda": ByKeda,
    "hpa, tolerance 0": ByHpa,
    "hpa, tolerance 10 %": lambda asked: ByHpa(asked, tolerance=0.1),
}


@dataclass(frozen=True, slots=True)
class Result:
    """One engine through one scenario."""

    tally: Tally
    short: list[float]
    """Seconds of each time with fewer Ready pods than wanted."""
    flaps: int
    most: int
    counts: list[int]
    """Replicas, second by second."""


def run(scenario: Scenario, engine: Engine) -> Result:
    """Let an engine go through a scenario."""
    terms = Terms(
        each=scenario.each,
        start_seconds=scenario.start_seconds,
        wait_seconds=scenario.wait_seconds,
    )
    world = World(terms, scenario.replicas, BEGINS_AT)
    asked = policy(scenario.autoscaling)
    counts, short, since = [world.replicas], [], None
    for arrivals in scenario.arrivals():
        world.step(arrivals)
        needed = need(asked, world.demand())
        wanted = min(needed.pods if needed else 0, asked.max)
        if wanted > world.ready and since is None and (world.waiting or asked.min > 0):
            since = world.now
        elif wanted <= world.ready and since is not None:
            short.append(world.now - since)
            since = None
        engine.step(world)
        counts.append(world.replicas)
    return Result(world.tally, short, flaps(counts), max(counts), counts)


def flaps(counts: list[int]) -> int:
    """Turns that came soon after the change before."""
    changes = [
        (at, after - before)
        for at, (before, after) in enumerate(itertools.pairwise(counts))
        if after != before
    ]
    return sum(
        (one > 0) != (other > 0) and later - earlier < FLAP_SECONDS
        for (earlier, one), (later, other) in itertools.pairwise(changes)
    )


def table(named: Named) -> Table:
    """All engines through one scenario."""
    scenario = named.scenario
    shown = Table(
        title=f"{named.name}: {scenario.about}",
        caption=f"{scenario.seconds} s, pods Ready after {scenario.start_seconds:g} s",
    )
    heads = ("engine", "to capacity: median", "worst", "pods x s", "refused", "flaps", "most pods")
    for head in heads:
        shown.add_column(head, justify="left" if head == "engine" else "right")
    for name, make in ENGINES.items():
        if name.startswith("hpa") and scenario.autoscaling.min == 0:
            shown.add_row(name, "cannot sleep", *[""] * 5)
            continue
        result = run(scenario, make(scenario.autoscaling))
        short = sorted(result.short) or [0.0]
        asked_for = result.tally.placed + result.tally.refused
        shown.add_row(
            name,
            f"{short[len(short) // 2]:.0f} s",
            f"{short[-1]:.0f} s",
            f"{result.tally.pod_seconds:.0f}",
            f"{result.tally.refused} of {asked_for}",
            str(result.flaps),
            str(result.most),
        )
    return shown


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.autoscaling", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    files = parser.parse_args().files
    console = Console(width=110)
    for named in [load(path) for path in files] or all_of_them():
        console.print(table(named))


if __name__ == "__main__":
    main()

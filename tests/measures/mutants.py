"""Prints how many small changes to each core its unit tests notice; fails below the bound.

`make mutants`: a sample of each core by a fixed seed, or of what lies under a folder; `N=0` is all.
A mutant is tried with the tests that run the changed statement. A survivor that does not matter is
listed in `survivors.toml`, with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from tests.measures.cores import CORES, ROOT, TESTS
from tests.measures.mutations import mutations
from tests.measures.touched import touched
from tests.measures.trials import Fate, Mutant, fates, load

ENOUGH: Final = 0.85
"""Of the mutants of every core that matter."""
UNCHANGED_SECONDS: Final = 1.0
"""Of CPU for a look at whether a file's tests pass without a change."""
_SHOWN: Final = {Fate.KILLED: ".", Fate.TIMED_OUT: "t", Fate.SURVIVED: "S", Fate.NOT_RUN: "N"}
SURVIVORS: Final = Path(__file__).with_name("survivors.toml")


def mutants_under(folder: str) -> dict[str, list[Mutant]]:
    """All there are, by core; a folder may leave out `mediafleet_…`, and may be a core's name."""
    found: defaultdict[str, list[Mutant]] = defaultdict(list)
    for core, folders in CORES.items():
        files = sorted(file for each in folders for file in (ROOT / each).rglob("*.py"))
        for file in files:
            path = str(file.relative_to(ROOT))
            short = re.sub("mediafleet_[a-z]+/", "", path)
            if folder in {"", core} or short.startswith(folder) or path.startswith(folder):
                found[core] += [
                    Mutant(path, number, each.name, each.lines)
                    for number, each in enumerate(mutations(file.read_text()))
                ]
    return dict(found)


@dataclass(slots=True)
class Score:
    """Of one core."""

    all: int
    fates: Counter[Fate] = field(default_factory=Counter)
    do_not_matter: int = 0
    survivors: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Those that matter: names and fates, by file."""

    def add(self, mutant: Mutant, fate: Fate, reasons: Mapping[str, Mapping[str, str]]) -> None:
        """One mutant's end."""
        self.fates[fate] += 1
        if fate in {Fate.SURVIVED, Fate.NOT_RUN}:
            if mutant.name in reasons.get(mutant.path, {}):
                self.do_not_matter += 1
            else:
                self.survivors[mutant.path].append(f"{json.dumps(mutant.name)} = {fate}")

    @property
    def killed(self) -> int:
        """Noticed by a test."""
        return self.fates[Fate.KILLED] + self.fates[Fate.TIMED_OUT]

    @property
    def share(self) -> float:
        """Killed of those that matter."""
        tried = self.fates.total() - self.do_not_matter
        return self.killed / tried if tried else 1.0


def scored(core: str, mutants: Sequence[Mutant], options: argparse.Namespace) -> Score:
    """Try a sample of a core's mutants."""
    chance = random.Random(f"{options.seed} {core}")
    sample = chance.sample(mutants, min(options.number or len(mutants), len(mutants)))
    reasons = tomllib.loads(SURVIVORS.read_text())
    score = Score(len(mutants))
    lines = touched(ROOT, CORES[core], TESTS[core])
    load(lines.modules)
    unchanged = [Mutant(path, None, "", range(1 << 16)) for path in {each.path for each in sample}]
    for mutant, fate in fates(unchanged, lines, options.processes, UNCHANGED_SECONDS):
        if fate in {Fate.KILLED, Fate.TIMED_OUT}:
            raise RuntimeError(f"{mutant.path}: its tests fail without a change")
    for mutant, fate in fates(sample, lines, options.processes):
        score.add(mutant, fate, reasons)
        print(_SHOWN[fate], end="", flush=True)
    print(flush=True)
    return score


def main() -> int:
    """Print the table; exit status."""
    parser = argparse.ArgumentParser(prog="make mutants")
    parser.add_argument("folder", nargs="?", default="")
    parser.add_argument("--number", type=int, default=150, help="of each core; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    # Properties then draw the same examples each time.
    os.environ["CI"] = "1"
    os.chdir(ROOT)
    table = Table(title=f"changes that the unit tests notice, seed {options.seed}")
    for column in ("core", "changes", "tried", *Fate, "do not matter", "killed of the rest"):
        table.add_column(column, justify="left" if column == "core" else "right")
    console = Console(width=120)
    scores = []
    for core, mutants in mutants_under(options.folder.rstrip("/")).items():
        scores.append(score := scored(core, mutants, options))
        numbers = (score.all, score.fates.total(), *(score.fates[fate] for fate in Fate))
        table.add_row(core, *map(str, numbers), str(score.do_not_matter), f"{score.share:.1%}")
        for path, names in sorted(score.survivors.items()):
            print(f'["{path}"]', *sorted(names), sep="\n", flush=True)
    console.print(table)
    return 0 if scores and all(score.share >= ENOUGH for score in scores) else 1


if __name__ == "__main__":
    sys.exit(main())

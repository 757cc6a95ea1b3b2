"""Prints how much of each core's lines and branches the unit tests run; fails below the bound.

`make coverage`. Nothing but tests/unit counts: a rule is tested where it stands.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from tests.measures.cores import CORES, ROOT, core_of

ENOUGH: Final = 0.95
"""Of the branches of every core."""


@dataclass(slots=True)
class Covered:
    """Lines and branches of some files."""

    lines: int = 0
    lines_run: int = 0
    branches: int = 0
    branches_run: int = 0

    def add(self, summary: Mapping[str, int]) -> None:
        """One file of coverage's report."""
        self.lines += summary["num_statements"]
        self.lines_run += summary["covered_lines"]
        self.branches += summary["num_branches"]
        self.branches_run += summary["covered_branches"]

    @property
    def share(self) -> float:
        """Of its branches."""
        return self.branches_run / self.branches if self.branches else 1.0


def measured(arguments: list[str]) -> tuple[dict[str, Any], bool]:
    """coverage.py's report, by file, and whether all tests passed; the unit tests run for it."""
    with tempfile.TemporaryDirectory() as folder:
        data, report = f"--data-file={folder}/data", Path(folder) / "report.json"
        coverage = [sys.executable, "-m", "coverage"]
        sources = ",".join(each for folders in CORES.values() for each in folders)
        run = [*coverage, "run", data, "--branch", f"--source={sources}"]
        tests = [*run, "-m", "pytest", "-q", "--timeout=900", "tests/unit", *arguments]
        passed = subprocess.run(tests, cwd=ROOT, check=False).returncode == 0
        subprocess.run([*coverage, "json", "-q", data, "-o", str(report)], cwd=ROOT, check=True)
        return dict(json.loads(report.read_text())["files"]), passed


def missed(files: Mapping[str, Any]) -> Iterator[str]:
    """The branches that no test took, a line for each file."""
    for path, file in sorted(files.items()):
        if file["missing_branches"]:
            taken = ", ".join(
                f"{a}->{b}" if b > 0 else f"{a}->out" for a, b in file["missing_branches"]
            )
            yield f"{path}: {taken}"


def main() -> int:
    """Print the table; exit status."""
    files, passed = measured(sys.argv[1:])
    cores = {name: Covered() for name in CORES}
    for path, file in files.items():
        if name := core_of(path):
            cores[name].add(file["summary"])
    table = Table(title="what tests/unit runs of each core")
    for column in ("core", "lines", "run", "branches", "taken"):
        table.add_column(column, justify="left" if column == "core" else "right")
    for name, it in cores.items():
        run = it.lines_run / it.lines
        table.add_row(name, str(it.lines), f"{run:.1%}", str(it.branches), f"{it.share:.1%}")
    console = Console(width=120)
    console.print(table)
    console.print("branches not taken:", *missed(files), sep="\n", markup=False, highlight=False)
    return 0 if passed and all(it.share >= ENOUGH for it in cores.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

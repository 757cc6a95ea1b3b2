"""`quick.svg`: two bursts of a run of `make quick` beside each other, a terminal as SVG."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Final

from rich.console import Console, Group
from rich.table import Table
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from mediafleet_testbed.load.bursts import BURST, Burst, by_number

_WIDTH: Final = 80
_BAR: Final = 24


def write(path: Path, stock: Burst, ours: Burst) -> None:
    """Draw both bursts on one scale."""
    console = Console(
        record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, highlight=False
    )
    most = max(*stock.jobs.values(), *ours.jobs.values(), 1)
    beside = Table.grid(padding=(0, 6))
    beside.add_row(
        _chart("upstream's auction", stock, most, "red"),
        _chart(f"mediafleet, mode {ours.title}", ours, most, "green"),
    )
    console.print(f"[bold]{BURST} StartEgress at once on {len(ours.jobs)} workers: jobs on each[/]")
    console.print()
    console.print(beside)
    svg = console.export_svg(title="make quick", theme=DIMMED_MONOKAI, unique_id="quick")
    # A picture in a page may load no font from elsewhere.
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    path.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")


def _chart(title: str, burst: Burst, most: int, colour: str) -> Group:
    bars = Table.grid(padding=(0, 1))
    for name, count in sorted(burst.jobs.items(), key=by_number):
        bar = "█" * round(count / most * _BAR)
        bars.add_row(name, Text(bar + (" " if bar else "") + str(count), style=colour))
    fullest, emptiest = max(burst.jobs.values()), min(burst.jobs.values())
    told = f"{fullest} on the fullest, {emptiest} on the emptiest"
    return Group(Text(title, style=f"bold {colour}"), "", bars, "", Text(told))

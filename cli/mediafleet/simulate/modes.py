"""The ways of placing beside each other: run, table, JSON, picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from mediafleet.simulate.output import table
from mediafleet.simulate.runs import News, run_all

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from mediafleet_scheduler.simulate.figures import Figures
    from mediafleet_scheduler.simulate.setup import Outcome, Placing, Setup
    from mediafleet_scheduler.simulate.traces import TraceJob

_OF_CLIENTS = ("REFUSED", "AGAIN", "P50", "P99")
_OF_PODS = ("JOBS/POD", "SKEW", "BUSY", "EMPTY", "NEEDS")
_WIDE = 84
"""Columns of a terminal; on a narrower one there are two tables, each of at most 60."""
_LEGEND = """\
AGAIN requests that clients repeated
P50, P99 wait until a pod takes the job
JOBS/POD fewest and most in all
SKEW most less fewest jobs when most run
BUSY pods with jobs, mean/most
EMPTY pods that a scale-down could have, mean
NEEDS the fewest pods that refuse nothing"""


class Way(StrEnum):
    """Who places, in words of the command line."""

    ALL = "all"
    PACK = "pack"
    SPREAD = "spread"
    TYPE_AWARE = "type_aware"
    UPSTREAM = "upstream"
    NATIVE_SPREAD = "native_spread"
    NATIVE_TYPE_AWARE = "native_type_aware"


@dataclass(frozen=True, slots=True)
class Compared:
    """What each way of placing made of a trace."""

    trace: str
    setup: Setup
    runs: Mapping[Placing, Sequence[Outcome]]
    rows: Mapping[Placing, tuple[Figures, int | None]]
    """The figures, and the fewest pods that refuse nothing."""

    def as_data(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "trace": self.trace,
            "pods": self.setup.pods,
            "cpu": self.setup.cpu,
            "max_cpu_utilization": self.setup.max_cpu_utilization,
            "queue_seconds": self.setup.queue_seconds,
            "cpu_cost": self.setup.costs.model_dump(by_alias=False),
            "modes": {
                each.value: {**asdict(figures), "pods_needed": needed}
                for each, (figures, needed) in self.rows.items()
            },
        }

    def print(self) -> None:
        """For people."""
        _print(self)

    def picture(self, title: str, kind: Literal["png", "svg"]) -> bytes:
        """How full each pod was over time."""
        from mediafleet_scheduler.simulate.plot import picture

        whole = f"{title}: {self.setup.pods} pods of {self.setup.cpu:g} CPUs"
        return picture(self.runs, self.setup, whole, kind)


def compare(
    trace: str, jobs: Sequence[TraceJob], setup: Setup, ways: Sequence[Way], progress: Progress
) -> Compared:
    """Run the jobs by each way."""
    from mediafleet_scheduler.simulate.figures import figures

    bars: dict[Placing, TaskID] = {}

    def say(placing: Placing, news: News) -> None:
        if placing not in bars:
            bars[placing] = progress.add_task(placing.value, total=len(jobs))
        if isinstance(news, str):
            progress.update(bars[placing], completed=0, description=news)
        else:
            progress.advance(bars[placing], news)

    found = run_all(jobs, setup, _placings(ways or [Way.ALL]), say)
    runs = {placing: outcomes for placing, (outcomes, _) in found.items()}
    rows = {each: (figures(runs[each], setup), needed) for each, (_, needed) in found.items()}
    return Compared(trace, setup, runs, rows)


def _placings(ways: Sequence[Way]) -> list[Placing]:
    from mediafleet_scheduler.simulate.setup import Placing

    if Way.ALL in ways:
        return list(Placing)
    return [Placing(each.value) for each in dict.fromkeys(ways)]


def _print(compared: Compared) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    setup, rows = compared.setup, compared.rows
    jobs = next(iter(rows.values()))[0].jobs
    console.print(
        f"[bold]{compared.trace}[/bold]: {jobs} jobs, {setup.pods} pods of {setup.cpu:g} CPUs"
    )
    wide = console.width >= _WIDE
    for columns in ((*_OF_CLIENTS, *_OF_PODS),) if wide else (_OF_CLIENTS, _OF_PODS):
        shown = table("MODE", columns)
        for placing, row in rows.items():
            cells = _cells(*row)
            shown.add_row(placing.value, *(cells[column] for column in columns))
        console.print(shown)
    for placing, (each, _) in rows.items():
        if each.refused:
            kinds = ", ".join(
                f"{count} {kind.value}" for kind, count in each.refused_by_type.items()
            )
            console.print(f"[dim]{placing.value} refused {kinds}[/dim]", soft_wrap=False)
    console.print(f"[dim]{_LEGEND}[/dim]")


def _cells(each: Figures, needed: int | None) -> dict[str, str]:
    """A row, by column."""
    return {
        "REFUSED": f"[red]{each.refused}[/red]" if each.refused else "0",
        "AGAIN": str(each.asked_again),
        "P50": _seconds(each.wait_p50),
        "P99": _seconds(each.wait_p99),
        "JOBS/POD": f"{min(each.jobs_per_pod)}-{max(each.jobs_per_pod)}",
        "SKEW": str(each.skew),
        "BUSY": f"{each.busy_mean:.1f}/{each.busy_most}",
        "EMPTY": f"{each.emptied_mean:.1f}",
        "NEEDS": "never" if needed is None else str(needed),
    }


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"

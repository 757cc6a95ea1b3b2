"""The autoscaling engines beside each other: run, table, JSON, picture."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from mediafleet.simulate.fleet import seconds_of
from mediafleet.simulate.output import table

if TYPE_CHECKING:
    from rich.progress import Progress

    from mediafleet_operator.simulate.comparing import Case, Way
    from mediafleet_operator.simulate.runs import Run
    from mediafleet_scheduler.simulate.setup import Setup
    from mediafleet_scheduler.simulate.traces import TraceJob

_PANEL: Final = "Autoscaling"
_QUEUE_SECONDS: Final = 5.0
"""What spec.placement.queue.maxWait is in a fleet that autoscales."""
_TIMES: Final = 3
_PAUSES: Final = 4.5
"""livekit-server's client asks three times, with so many seconds of pauses in all."""
_COLUMNS: Final = ("REFUSED", "WAITED", "P99", "POD HOURS", "MEAN", "MOST")
_LEGEND: Final = """\
WAITED jobs that waited for a pod, P99 of all waits
MEAN, MOST pods
fixed no engine: always the most pods
keda, hpa as their rules are modelled"""
_WITHIN: Final = "observe, apply: builtin with a forecast from the weeks before"
_BEFORE: Final = """\
observe, apply: builtin with a forecast from four weeks
like this trace, the best case: see a longer trace"""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Whether engines are compared, and what is asked of them."""

    autoscaling: Annotated[
        bool,
        typer.Option(
            "--autoscaling",
            help="Compare the autoscaling engines, and builtin with a forecast, in place of the "
            "ways of placing. --pods is then the most pods.",
            rich_help_panel=_PANEL,
        ),
    ] = False
    min: Annotated[
        int,
        typer.Option(
            "--min", metavar="COUNT", min=1, help="As spec.autoscaling.min.", rich_help_panel=_PANEL
        ),
    ] = 1
    buffer: Annotated[
        int,
        typer.Option(
            metavar="SLOTS",
            min=0,
            max=100_000,
            help="As spec.autoscaling.buffer.slots.",
            rich_help_panel=_PANEL,
        ),
    ] = 1
    pod_start: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="From the decision until a new pod takes jobs.",
            rich_help_panel=_PANEL,
        ),
    ] = "45s"

    def case(self, jobs: Sequence[TraceJob], setup: Setup) -> Case:
        """What is compared.

        Raises:
            typer.BadParameter: the options do not go together.
        """
        from mediafleet_common.api.scaling.autoscaling import Autoscaling, Buffer
        from mediafleet_operator.simulate.comparing import Case

        if self.min > setup.pods:
            raise typer.BadParameter(f"--min {self.min} is above --pods {setup.pods}")
        asked = Autoscaling(min=self.min, max=setup.pods, buffer=Buffer(slots=self.buffer))
        return Case(
            _load(jobs), _terms(jobs, setup, seconds_of("--pod-start", self.pod_start)), asked
        )


@dataclass(frozen=True, slots=True)
class Compared:
    """What each engine made of a trace."""

    trace: str
    setup: Setup
    case: Case
    runs: Mapping[Way, Run]

    def as_data(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "trace": self.trace,
            "jobs": len(self.case.load),
            "min": self.case.asked.min,
            "max": self.case.most,
            "cpu": self.setup.cpu,
            "buffer_slots": self.case.asked.buffer.slots,
            "pod_start_seconds": self.case.terms.start_seconds,
            "wait_seconds": self.case.terms.wait_seconds,
            "forecast_learns_within": self.case.learns_within,
            "engines": {way.value: _figures(run, self.case) for way, run in self.runs.items()},
        }

    def print(self) -> None:
        """For people."""
        from rich.console import Console

        console = Console(highlight=False, soft_wrap=True)
        bounds = f"{self.case.asked.min} to {self.case.most} pods of {self.setup.cpu:g} CPUs"
        console.print(f"[bold]{self.trace}[/bold]: {len(self.case.load)} jobs, {bounds}")
        shown = table("ENGINE", _COLUMNS)
        for way, run in self.runs.items():
            shown.add_row(way.value, *_cells(_figures(run, self.case)))
        console.print(shown)
        learns = _WITHIN if self.case.learns_within else _BEFORE
        console.print(f"[dim]{_LEGEND}\n{learns}[/dim]")

    def picture(self, title: str, kind: Literal["png", "svg"]) -> bytes:
        """Pods and work over time."""
        from mediafleet.simulate.engines_plot import picture

        bounds = f"{self.case.asked.min} to {self.case.most} pods"
        return picture(self.runs, self.case, f"{title}: {bounds}", kind)


def compare(
    trace: str, jobs: Sequence[TraceJob], setup: Setup, options: EngineOptions, progress: Progress
) -> Compared:
    """Run the jobs through each engine."""
    from mediafleet_operator.simulate.comparing import Way, learnt, through

    case = options.case(jobs, setup)
    bar = progress.add_task("weeks before", total=case.lessons * len(jobs))
    told = functools.partial(progress.advance, bar)
    past = learnt(case, told)
    runs: dict[Way, Run] = {}
    for way in Way:
        progress.update(bar, completed=0, total=len(jobs), description=way.value)
        runs[way] = through(case, way, past, told)
    progress.remove_task(bar)
    return Compared(trace, setup, case, runs)


def _load(jobs: Sequence[TraceJob]) -> list[Any]:
    from mediafleet_operator.simulate.world import Arrival

    return [(job.at, Arrival(job.seconds, job.kind.value)) for job in jobs]


def _terms(jobs: Sequence[TraceJob], setup: Setup, start_seconds: float) -> Any:
    """The fleet: what a job takes of a pod is the larger share, of CPUs or of memory."""
    from mediafleet_operator.simulate.world import Terms

    size, memory = setup.cpu * setup.max_cpu_utilization, setup.memory
    costs = {}
    for kind in sorted({job.kind for job in jobs}):
        share = memory.of(kind) / memory.max_gb if memory else 0.0
        costs[kind.value] = max(setup.costs.of(kind), share * size)
    queue = setup.queue_seconds or _QUEUE_SECONDS
    wait = _TIMES * queue + _PAUSES
    return Terms(each=size, start_seconds=start_seconds, wait_seconds=wait, costs=costs)


def _figures(run: Run, case: Case) -> dict[str, Any]:
    from mediafleet_scheduler.simulate.figures import quantile

    tally = run.tally
    waits = sorted(tally.waited)
    return {
        "placed": tally.placed,
        "refused": tally.refused,
        "waited": run.waited,
        "wait_p50": quantile(waits, 0.5),
        "wait_p99": quantile(waits, 0.99),
        "pod_hours": tally.pod_seconds / 3600,
        "pods_mean": tally.pod_seconds / max(case.seconds, 1.0),
        "pods_most": tally.most_pods,
    }


def _cells(figures: Mapping[str, Any]) -> list[str]:
    refused = figures["refused"]
    return [
        f"[red]{refused}[/red]" if refused else "0",
        str(figures["waited"]),
        f"{figures['wait_p99']:.0f} s",
        f"{figures['pod_hours']:.1f}",
        f"{figures['pods_mean']:.1f}",
        str(figures["pods_most"]),
    ]

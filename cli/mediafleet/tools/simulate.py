"""`mediafleet simulate`: what each way of placing makes of a trace of jobs."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mediafleet.options import Output, OutputOption

if TYPE_CHECKING:
    from rich.progress import Progress

    from mediafleet_common.api.egress.costs import CpuCost, Memory
    from mediafleet_scheduler.simulate.figures import Figures
    from mediafleet_scheduler.simulate.setup import Outcome, Placing, Setup
    from mediafleet_scheduler.simulate.traces import TraceJob

_MOST_PODS = 2000
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


def simulate(
    trace: Annotated[
        str,
        typer.Argument(
            metavar="TRACE",
            help="CSV or JSON file with time, type, duration; or burst, day, mixed.",
        ),
    ],
    *,
    mode: Annotated[
        list[Way] | None,
        typer.Option(
            metavar="MODE",
            help="Who places: the desk (pack, spread, type_aware), upstream's auction (upstream), "
            "or stock pods with the patch of engine native (native_spread, native_type_aware); "
            "repeatable. Default: all.",
        ),
    ] = None,
    pods: Annotated[
        int, typer.Option(metavar="COUNT", min=1, max=_MOST_PODS, help="Pods of the fleet.")
    ] = 10,
    cpu: Annotated[
        float, typer.Option(metavar="CPUS", min=0.1, max=1024, help="CPUs of a pod.")
    ] = 16,
    max_cpu_utilization: Annotated[
        float,
        typer.Option(metavar="SHARE", min=0.05, max=1, help="As spec.placement.maxCpuUtilization."),
    ] = 0.8,
    max_pulse_clients: Annotated[
        int,
        typer.Option(metavar="COUNT", min=0, help="As spec.placement.maxPulseClients."),
    ] = 60,
    max_memory: Annotated[
        float | None,
        typer.Option(metavar="GB", help="As spec.placement.memory.maxGb. Default: not counted."),
    ] = None,
    memory_cost: Annotated[
        float, typer.Option(metavar="GB", help="As spec.placement.memory.costGb.")
    ] = 0,
    queue: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="As spec.placement.queue.maxWait: the desk lets requests wait."
        ),
    ] = "0s",
    cost: Annotated[
        list[str] | None,
        typer.Option(
            help="CPUs of a type instead of its default; repeatable.", metavar="TYPE=CPUS"
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a picture, FILE.png or FILE.svg; needs mediafleet[plot]."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="NUMBER", help="Seed of what is left to chance.")
    ] = 0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Run a trace of jobs against a fleet on a virtual clock, and compare the ways of placing.

    It uses the desk's own rules, and upstream's for what upstream would do.
    """
    from mediafleet_scheduler.simulate.figures import figures
    from mediafleet_scheduler.simulate.setup import Setup
    from mediafleet_scheduler.simulate.traces import BadTraceError, load

    if plot is not None:
        _check_plot(plot)
    setup = Setup(
        pods=pods,
        cpu=cpu,
        max_cpu_utilization=max_cpu_utilization,
        max_pulse_clients=max_pulse_clients,
        memory=_memory(max_memory, memory_cost),
        costs=_costs(cost or []),
        queue_seconds=_seconds_of(queue),
        seed=seed,
    )
    try:
        jobs = load(trace)
    except BadTraceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    runs: dict[Placing, Sequence[Outcome]] = {}
    rows: dict[Placing, tuple[Figures, int | None]] = {}
    with _progress() as progress:
        for placing in _placings(mode or [Way.ALL]):
            outcomes, needed = _compared(jobs, setup, placing, progress)
            runs[placing], rows[placing] = outcomes, (figures(outcomes, setup), needed)
    if output is Output.JSON:
        import json

        typer.echo(json.dumps(as_data(trace, setup, rows), indent=2))
    else:
        _print(trace, setup, rows)
    if plot is not None:
        _plot(plot, trace, setup, runs)


def _compared(
    jobs: Sequence[TraceJob], setup: Setup, placing: Placing, progress: Progress
) -> tuple[Sequence[Outcome], int | None]:
    """What becomes of the jobs, and the fewest pods that refuse none."""
    from mediafleet_scheduler.simulate.figures import pods_at_peak, pods_needed
    from mediafleet_scheduler.simulate.running import refuses, run

    bar = progress.add_task(placing.value, total=len(jobs))
    told = functools.partial(progress.advance, bar)
    outcomes = run(jobs, setup, placing, told)

    def refused_with(count: int) -> bool:
        if count == setup.pods:
            return any(each.pod is None for each in outcomes)
        progress.update(bar, completed=0, description=f"{placing.value}, {count} pods")
        return refuses(jobs, replace(setup, pods=count), placing, told)

    needed = pods_needed(refused_with, pods_at_peak(jobs, setup), _MOST_PODS)
    progress.remove_task(bar)
    return outcomes, needed


def _progress() -> Progress:
    """A bar on a terminal, gone at the end; elsewhere nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _check_plot(plot: Path) -> None:
    """Refuse at once what could not be written at the end."""
    if plot.suffix not in (".svg", ".png"):
        raise typer.BadParameter(f"--plot {plot}: the name ends in .svg or .png")
    place = plot if plot.exists() else plot.parent
    if not plot.parent.is_dir() or plot.is_dir() or not os.access(place, os.W_OK):
        raise typer.BadParameter(f"--plot {plot}: it cannot be written there")
    if importlib.util.find_spec("matplotlib") is None:
        raise typer.BadParameter("--plot needs matplotlib: pip install 'mediafleet[plot]'")


def _memory(max_gb: float | None, cost_gb: float) -> Memory | None:
    from pydantic import ValidationError

    from mediafleet_common.api.egress.costs import Memory
    from mediafleet_common.api.reading import first_mistake

    if max_gb is None:
        if cost_gb:
            raise typer.BadParameter("--memory-cost needs --max-memory")
        return None
    try:
        return Memory(max_gb=max_gb, cost_gb=cost_gb)
    except ValidationError as error:
        raise typer.BadParameter(f"--max-memory, --memory-cost {first_mistake(error)}") from error


def _seconds_of(queue: str) -> float:
    from mediafleet_common.api.durations import seconds

    try:
        return seconds(queue)
    except ValueError as error:
        raise typer.BadParameter(f"--queue {error}") from error


def _placings(ways: Sequence[Way]) -> list[Placing]:
    from mediafleet_scheduler.simulate.setup import Placing

    if Way.ALL in ways:
        return list(Placing)
    return [Placing(each.value) for each in dict.fromkeys(ways)]


def _costs(pairs: Sequence[str]) -> CpuCost:
    from pydantic import ValidationError

    from mediafleet_common.api.egress.costs import CpuCost
    from mediafleet_common.api.reading import first_mistake

    costs: dict[str, str] = {}
    for pair in pairs:
        kind, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"--cost {pair}: write TYPE=CPUS")
        costs[kind] = value
    try:
        return CpuCost.model_validate(costs)
    except ValidationError as error:
        raise typer.BadParameter(f"--cost {first_mistake(error)}") from error


Rows = Mapping["Placing", tuple["Figures", int | None]]


def as_data(trace: str, setup: Setup, rows: Rows) -> dict[str, Any]:
    """For `-o json`."""
    return {
        "trace": trace,
        "pods": setup.pods,
        "cpu": setup.cpu,
        "max_cpu_utilization": setup.max_cpu_utilization,
        "queue_seconds": setup.queue_seconds,
        "cpu_cost": setup.costs.model_dump(by_alias=False),
        "modes": {
            each.value: {**asdict(figures), "pods_needed": needed}
            for each, (figures, needed) in rows.items()
        },
    }


def _print(trace: str, setup: Setup, rows: Rows) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    jobs = next(iter(rows.values()))[0].jobs
    console.print(f"[bold]{trace}[/bold]: {jobs} jobs, {setup.pods} pods of {setup.cpu:g} CPUs")
    wide = console.width >= _WIDE
    for columns in ((*_OF_CLIENTS, *_OF_PODS),) if wide else (_OF_CLIENTS, _OF_PODS):
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
        table.add_column("MODE", no_wrap=True)
        for column in columns:
            table.add_column(column, justify="right", no_wrap=True)
        for placing, row in rows.items():
            cells = _cells(*row)
            table.add_row(placing.value, *(cells[column] for column in columns))
        console.print(table)
    for placing, (each, _) in rows.items():
        if each.refused:
            kinds = ", ".join(
                f"{count} {kind.value}" for kind, count in each.refused_by_type.items()
            )
            console.print(f"[dim]{placing.value} refused {kinds}[/dim]")
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


def _plot(path: Path, trace: str, setup: Setup, runs: Mapping[Placing, Sequence[Outcome]]) -> None:
    from mediafleet_scheduler.simulate.plot import NoMatplotlibError, picture

    title = f"{Path(trace).name}: {setup.pods} pods of {setup.cpu:g} CPUs"
    try:
        path.write_bytes(picture(runs, setup, title, "png" if path.suffix == ".png" else "svg"))
    except (NoMatplotlibError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(f"wrote {path}")

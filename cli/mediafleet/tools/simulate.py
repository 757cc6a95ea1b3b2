"""`mediafleet simulate`: what each way of placing makes of a trace of jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mediafleet.options import Output, OutputOption

if TYPE_CHECKING:
    from mediafleet_common.api.egress.costs import CpuCost
    from mediafleet_scheduler.simulate.figures import Figures
    from mediafleet_scheduler.simulate.setup import Outcome, Placing, Setup

_MOST_PODS = 2000
_COLUMNS = (
    *("MODE", "REFUSED", "AGAIN", "P50", "P99"),
    *("JOBS/POD", "SKEW", "BUSY", "EMPTY", "NEEDS"),
)
_LEGEND = """\
AGAIN requests that clients repeated · P50, P99 wait until a pod takes the job
JOBS/POD fewest and most in all · SKEW most less fewest jobs when most run
BUSY pods with jobs, mean/most · EMPTY pods that a scale-down could have, mean
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
    from mediafleet_scheduler.simulate.figures import figures, pods_needed
    from mediafleet_scheduler.simulate.running import run
    from mediafleet_scheduler.simulate.setup import Setup
    from mediafleet_scheduler.simulate.traces import BadTraceError, load

    if plot is not None and plot.suffix not in (".svg", ".png"):
        raise typer.BadParameter(f"--plot {plot}: the name ends in .svg or .png")
    setup = Setup(
        pods=pods,
        cpu=cpu,
        max_cpu_utilization=max_cpu_utilization,
        costs=_costs(cost or []),
        queue_seconds=_seconds_of(queue),
        seed=seed,
    )
    try:
        jobs = load(trace)
    except BadTraceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    runs = {placing: run(jobs, setup, placing) for placing in _placings(mode or [Way.ALL])}

    def needed(placing: Placing) -> int | None:
        def refused_with(count: int) -> int:
            other = replace(setup, pods=count)
            outcomes = runs[placing] if count == pods else run(jobs, other, placing)
            return sum(each.pod is None for each in outcomes)

        return pods_needed(refused_with, pods, _MOST_PODS)

    rows = {each: (figures(outcomes, setup), needed(each)) for each, outcomes in runs.items()}
    if output is Output.JSON:
        import json

        typer.echo(json.dumps(as_data(trace, setup, rows), indent=2))
    else:
        _print(trace, setup, rows)
    if plot is not None:
        _plot(plot, trace, setup, runs)


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
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column == "MODE" else "right", no_wrap=True)
    for placing, (each, needed) in rows.items():
        table.add_row(
            placing.value,
            f"[red]{each.refused}[/red]" if each.refused else "0",
            str(each.asked_again),
            _seconds(each.wait_p50),
            _seconds(each.wait_p99),
            f"{min(each.jobs_per_pod)}-{max(each.jobs_per_pod)}",
            str(each.skew),
            f"{each.busy_mean:.1f}/{each.busy_most}",
            f"{each.emptied_mean:.1f}",
            "never" if needed is None else str(needed),
        )
    console.print(table)
    for placing, (each, _) in rows.items():
        if each.refused:
            kinds = ", ".join(
                f"{count} {kind.value}" for kind, count in each.refused_by_type.items()
            )
            console.print(f"[dim]{placing.value} refused {kinds}[/dim]")
    console.print(f"[dim]{_LEGEND}[/dim]")


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

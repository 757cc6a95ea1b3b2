"""`mediafleet simulate`: what each way of placing makes of a trace of jobs."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mediafleet.options import Output, OutputOption
from mediafleet.simulate import engines as autoscaling
from mediafleet.simulate import modes
from mediafleet.simulate.engines import EngineOptions
from mediafleet.simulate.fleet import FleetOptions
from mediafleet.simulate.livekit import LivekitOptions
from mediafleet.simulate.modes import Way
from mediafleet.simulate.output import check_plot, kind_of, progress, write_plot
from mediafleet_common.clock import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.simulate.livekit import Server
    from mediafleet_scheduler.simulate.traces import TraceJob


def simulate(
    trace: Annotated[
        str | None,
        typer.Argument(
            metavar="TRACE",
            help="CSV or JSON file with time, type, duration; or burst, day, mixed.",
        ),
    ] = None,
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
    fleet: FleetOptions,
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
    engines: EngineOptions,
    livekit: LivekitOptions,
) -> None:
    """Run a trace of jobs against a fleet on a virtual clock, and compare the ways of placing.

    It uses the desk's own rules, and upstream's for what upstream would do. With --autoscaling it
    compares who scales the fleet, by the operator's own rules.
    """
    if engines.autoscaling and mode:
        raise typer.BadParameter("--mode is not for --autoscaling: pods are packed there")
    server = livekit.server()
    if plot is not None:
        check_plot(plot)
    setup = fleet.setup(seed)
    name, jobs = _trace(trace, server, livekit.days)
    with progress() as bars:
        compared = (
            autoscaling.compare(name, jobs, setup, engines, bars)
            if engines.autoscaling
            else modes.compare(name, jobs, setup, mode or [], bars)
        )
    if output is Output.JSON:
        typer.echo(json.dumps(compared.as_data(), indent=2))
    else:
        compared.print()
    if plot is not None:
        write_plot(plot, functools.partial(compared.picture, Path(name).name, kind_of(plot)))


def _trace(trace: str | None, server: Server | None, days: float) -> tuple[str, Sequence[TraceJob]]:
    """What it is called, and its jobs."""
    if trace is not None and server is None:
        return trace, _file(trace)
    if server is not None and trace is None:
        return server.url, _served(server, days)
    raise typer.BadParameter("give a TRACE, or --from-livekit URL")


def _file(trace: str) -> Sequence[TraceJob]:
    from mediafleet_scheduler.simulate.traces import BadTraceError, load

    try:
        return load(trace)
    except BadTraceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


def _served(server: Server, days: float) -> Sequence[TraceJob]:
    """The jobs of a server's last days; says on stderr how far back they reach."""
    from mediafleet.simulate.livekit import DAY, ListError, items, reach
    from mediafleet_scheduler.simulate import list_egress
    from mediafleet_scheduler.simulate.traces import of_rows

    try:
        told = items(server)
    except ListError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    now = SYSTEM.unix()
    rows = list(list_egress.rows(told, now - days * DAY, now))
    if not rows:
        ago = f"in the last {days:g} days"
        typer.echo(f"{server.url} tells of no egress that began {ago}", err=True)
        raise typer.Exit(1)
    typer.echo(reach([float(row["time"]) for _, row in rows], days, now), err=True)
    return of_rows(rows, server.url)

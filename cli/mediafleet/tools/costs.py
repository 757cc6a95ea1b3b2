"""`mediafleet status --desk URL`: what jobs really use, beside what is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from mediafleet.tools.asking import fetch, not_a_desk

if TYPE_CHECKING:
    from mediafleet_common.reports.costs import FleetCosts, LearnedReport, TypeCost

_USES = {
    "none": "nothing is learnt (placement.learnedCosts.use: none)",
    "observe": "cpuCost counts (placement.learnedCosts.use: observe)",
    "apply": "what is sure is sent (placement.learnedCosts.use: apply)",
}


def show(url: str, name: str | None, token: str | None, *, as_json: bool) -> None:
    """Ask a running desk and print what it says.

    Raises:
        typer.Exit: the desk did not answer, or has no such fleet.
    """
    from pydantic import ValidationError

    from mediafleet_common.reports.costs import LearnedReport

    text = fetch("--desk", url, "/costs", token=token)
    try:
        report = LearnedReport.model_validate_json(text)
    except ValidationError as error:
        raise not_a_desk(url) from error
    fleets = [each for each in report.fleets if name in (None, each.name)]
    if not fleets:
        typer.echo("the desk serves no fleet" + (f" called {name}" if name else ""), err=True)
        raise typer.Exit(1)
    if as_json:
        chosen: LearnedReport = LearnedReport(fleets=fleets)
        typer.echo(chosen.model_dump_json(by_alias=False, indent=2))
        return
    for each in fleets:
        _print(each)


def _print(fleet: FleetCosts) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    name = f"{fleet.namespace}/{fleet.name}".lstrip("/")
    console.print(f"[bold]{name}[/bold]  {_USES[fleet.use.value]}")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("TYPE", "CPUCOST", "REALLY USED", "ERROR", "JOBS", "SURE", "SENT"):
        table.add_column(column, justify="left" if column == "TYPE" else "right")
    for each in fleet.types:
        table.add_row(*_cells(each))
    if fleet.types:
        console.print(table)
        console.print(
            f"[dim]from {fleet.observations} mixtures of jobs; "
            f"a pod itself uses {fleet.base_cpus:.2f} CPUs[/dim]"
        )
    console.print()


def _cells(each: TypeCost) -> list[str]:
    return [
        each.type.value,
        f"{each.configured:g}",
        f"{each.learned:.2f}",
        "?" if each.error is None else f"{each.error:.2f}",
        str(each.jobs),
        "yes" if each.sure else "no",
        "" if each.sent is None else f"{each.sent:.2f}",
    ]

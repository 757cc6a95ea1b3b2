"""`mediafleet explain URL`: where the next job of a type would go, and why; with --task, where a
task of the AI broker is, and who was given it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mediafleet.options import Output, OutputOption
from mediafleet.tools import task_view
from mediafleet.tools.asking import TokenOption, fetch, not_a_desk

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mediafleet_common.reports.explanation import (
        Explanation,
        FleetExplained,
        KeyPart,
        ModeExplained,
    )


def explain(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            envvar="MEDIAFLEET_EXPLAIN_URL",
            help="http://HOST:PORT, the --http address of a running egress desk, or broker.",
        ),
    ],
    *,
    kind: Annotated[
        str,
        typer.Option(
            "--type",
            metavar="TYPE",
            envvar="MEDIAFLEET_EXPLAIN_TYPE",
            help="A request type, as in spec.accepts.",
        ),
    ] = "track",
    mode: Annotated[
        list[str] | None,
        typer.Option(metavar="MODE", help="Only this mode; repeatable. Default: all."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(metavar="ID", help="A task of a broker: where it is, who was given it, why."),
    ] = None,
    token: TokenOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Ask a running egress desk where the next job would go, or a broker about a task.

    Nothing is started. Exit status 1 when the desk does not answer.
    """
    from pydantic import ValidationError

    if task is not None:
        task_view.show(url, task, token, output)
        return

    from mediafleet_common.reports.explanation import Explanation

    query = [("type", kind), *(("mode", each) for each in mode or ())]
    text = fetch("URL", url, "/explain", query, token)
    if output is Output.JSON:
        typer.echo(text)
        return
    try:
        explanation = Explanation.model_validate_json(text)
    except ValidationError as error:
        raise not_a_desk(url) from error
    _print(explanation)


def _print(explanation: Explanation) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not explanation.fleets:
        console.print("The desk serves no fleet.")
    settled = False
    for fleet in explanation.fleets:
        for part in _shown(fleet, explanation.type.value, first=not settled):
            console.print(part)
        settled = settled or any(each.in_force and each.order for each in fleet.modes)
    if explanation.fleets and not settled and not _asked_for_other_modes(explanation):
        console.print(f"[red]The next {explanation.type.value} fits nowhere.[/red]")


def _asked_for_other_modes(explanation: Explanation) -> bool:
    return any(
        fleet.modes and not any(each.in_force for each in fleet.modes)
        for fleet in explanation.fleets
    )


def _shown(fleet: FleetExplained, kind: str, *, first: bool) -> Iterator[RenderableType]:
    from rich.markup import escape
    from rich.padding import Padding

    name = f"{fleet.namespace}/{fleet.name}".lstrip("/")
    if fleet.why_not is not None:
        yield f"[bold]{name}[/bold]  takes no {kind}: {escape(fleet.why_not)}\n"
        return
    facts = [f"a {kind} needs {fleet.needs_cpus:g} CPUs"]
    facts += [f"and {fleet.needs_memory_gb:g} GB"] if fleet.needs_memory_gb else []
    facts += [f"priority {fleet.priority}"] if fleet.priority else []
    facts += ["only some rooms (spec.rooms)"] if fleet.some_rooms_only else []
    facts += [f"{fleet.waiting} wait for room and come first"] if fleet.waiting else []
    facts += [] if first else ["asked only when the fleets above have no room"]
    yield f"[bold]{name}[/bold]  {', '.join(facts)}"
    for mode in fleet.modes:
        yield Padding(_heading(mode), (0, 2))
        if mode.order:
            yield Padding(_table(fleet, mode), (0, 4))
    left = [pod for pod in fleet.pods if pod.why_not is not None]
    if left:
        yield Padding("[dim]not considered:[/dim]", (0, 2))
    for pod in left:
        yield Padding(f"{pod.name}  {escape(pod.why_not or '')}", (0, 4))
    yield ""


def _heading(mode: ModeExplained) -> str:
    force = " (in force)" if mode.in_force else ""
    if not mode.order:
        return f"[bold]{mode.mode.value}[/bold]{force}: it fits no pod"
    drawn = set(mode.drawn_from)
    if mode.order[0].name in drawn:
        of = f"the better of two drawn at random from {len(drawn)} pods of unknown load"
        return f"[bold]{mode.mode.value}[/bold]{force}: {of}"
    return f"[bold]{mode.mode.value}[/bold]{force}: goes to [green]{mode.order[0].name}[/green]"


def _table(fleet: FleetExplained, mode: ModeExplained) -> RenderableType:
    from rich.table import Table

    pods = {pod.name: pod for pod in fleet.pods}
    table = Table(box=None, pad_edge=False, header_style="dim")
    # The last part of each key is the name.
    parts = [part.name for part in mode.order[0].key[:-1]]
    for column in ("POD", "LOAD", *(part.upper() for part in parts), "STOCK BID"):
        table.add_column(column, justify="left" if column in ("POD", "LOAD") else "right")
    for ranked in mode.order:
        known = "known" if pods[ranked.name].load_known else "unknown"
        bid = mode.bids.get(ranked.name)
        table.add_row(
            ranked.name,
            known,
            *(_value(part) for part in ranked.key[:-1]),
            "" if bid is None else f"{bid:.2f}",
        )
    return table


def _value(part: KeyPart) -> str:
    """As people say it: what a key has negative, so that more comes first, is shown positive."""
    if isinstance(part.value, bool):
        return "yes" if part.value else "no"
    if isinstance(part.value, str):
        return part.value
    return f"{abs(part.value):.2f}".rstrip("0").rstrip(".")

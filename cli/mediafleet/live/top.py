"""`mediafleet top`: fleets and pools as they are now, drawn anew until it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mediafleet.options import ClusterOptions

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from mediafleet.tools.status_view import FleetLine

Raw = Mapping[str, Any]
_BAR: int = 10
_NARROW: int = 80
"""Below, a namespace that is everybody's is left out."""
_NUMBERS: int = 37
"""Columns that all but the two names take."""


def top(
    *,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace", "-n", metavar="NAME", help="Only this namespace; default: all."
        ),
    ] = None,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.5, help="How often it is drawn anew.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Draw it once, and end.")] = False,
    cluster: ClusterOptions,
) -> None:
    """Show fleets and pools live: pods, work, who drains and what is wrong. Ctrl-C ends it."""
    from mediafleet_common.kube.errors import KubeError
    from mediafleet_common.serving.run import CannotStartError

    try:
        asyncio.run(_run(namespace, cluster, every=every, once=once))
    except (KubeError, CannotStartError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        return


async def _run(namespace: str | None, cluster: ClusterOptions, *, every: float, once: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    from mediafleet.tools.status import listed
    from mediafleet.tools.status_view import lines
    from mediafleet_common.clock import SYSTEM
    from mediafleet_common.kube.client import Api
    from mediafleet_common.kube.errors import KubeError
    from mediafleet_common.kube.login import configure

    console = Console(highlight=False)

    async def fleets(api: Api) -> list[FleetLine]:
        resources, pods = await listed(api, namespace)
        return lines(resources, pods, SYSTEM.unix())

    async with Api(await configure(cluster.kubeconfig, cluster.context)) as api:
        drawn = await fleets(api)
        if once:
            console.print(screen(drawn, console.width))
            return
        with Live(
            screen(drawn, console.width), console=console, screen=True, auto_refresh=False
        ) as live:
            while True:
                await asyncio.sleep(every)
                try:
                    drawn, trouble = await fleets(api), None
                except KubeError as error:
                    trouble = f"no news since {every:g} s or more: {error}"
                now = screen(drawn, console.width, trouble, console.height)
                live.update(now, refresh=True)


def screen(
    fleets: Sequence[FleetLine], width: int, trouble: str | None = None, rows: int = 0
) -> Group:
    """All of it; what does not fit in `rows` is left out and said, 0: everything."""
    from rich.console import Group
    from rich.markup import escape

    pods = sum(len(each.pods) for each in fleets)
    draining = sum(each.draining for each in fleets)
    work = sum(each.load or 0 for each in fleets)
    head = f"[bold]{len(fleets)}[/] fleets and pools  [bold]{pods}[/] pods"
    head += f"  [bold]{work}[/] jobs, sessions and tasks  [bold]{draining}[/] draining"
    parts: list[Any] = [
        head,
        *([f"[red]{escape(trouble)}[/]"] if trouble else []),
        _table(fleets, width),
    ]
    notes = [
        f"[yellow]![/] [bold]{escape(each.name)}[/] {escape(note)}"
        for each in fleets
        for note in each.notes
    ]
    room = max(rows - len(fleets) - 6, 1) if rows else len(notes)
    more = [f"[dim]and {len(notes) - room} more: mediafleet status[/]"] if len(notes) > room else []
    return Group(*parts, *notes[:room], *more)


def _table(fleets: Sequence[FleetLine], width: int) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    one = len({each.namespace for each in fleets}) == 1
    names = ["NAME"] if one and width < _NARROW else ["NAMESPACE", "NAME"]
    for column in names:
        most = max((width - _NUMBERS) // len(names), 6)
        table.add_column(column, overflow="ellipsis", no_wrap=True, max_width=most)
    table.add_column("READY", no_wrap=True)
    for column in ("WORK", "DRAIN"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, min_width=_BAR)
    for each in fleets:
        wanted = "?" if each.wanted is None else str(each.wanted)
        table.add_row(
            *(each.namespace, each.name)[-len(names) :],
            f"{each.ready}/{wanted}",
            "?" if each.load is None else str(each.load),
            str(each.draining) if each.draining else "",
            bar(each),
        )
    return table


def bar(fleet: FleetLine) -> str:
    """A mark for each pod: busy, idle, draining, not ready; scaled down to the width."""
    marks = sorted(map(_mark, fleet.pods), key="█▒▓·".index)
    step = max(len(marks) / _BAR, 1)
    shown = [marks[int(at * step)] for at in range(min(len(marks), _BAR))]
    colours = {"█": "green", "▒": "cyan", "▓": "yellow", "·": "red"}
    return "".join(f"[{colours[each]}]{each}[/]" for each in shown)


def _mark(pod: Any) -> str:
    if pod.state == "draining":
        return "▓"
    if pod.state != "ready":
        return "·"
    return "▒" if pod.load == 0 else "█"

"""A collector's view as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from mediafleet_scheduler.core.community.checks.payouts import Payouts
    from mediafleet_scheduler.core.community.collecting import View


def print_view(view: View, payouts: Payouts) -> None:
    """Regions, origins and work, who is unknown, and what tickets say."""
    from rich.console import Console

    console = Console(highlight=False)
    regions = _table("REGION", "OPERATORS", "STREAMS NOW", "AVERAGE", "MAXIMUM")
    for row in view.regions:
        regions.add_row(
            row.region, str(row.operators), *map(_said, (row.now, row.average, row.maximum))
        )
    console.print(regions)
    if view.origins:
        origins = _table("GATEWAYS FROM", "OPERATORS", "STREAMS", "ASKING")
        for each in view.origins:
            asking = None if each.asking is None else "{}-{}".format(*each.asking)
            origins.add_row(each.origin, str(each.operators), _said(each.streams), _said(asking))
        console.print()
        console.print(origins)
    if view.days:
        days = _table("STREAMS FROM, 24 H", "OPERATORS", "AVERAGE", "MAXIMUM")
        for day in view.days:
            days.add_row(day.origin, str(day.operators), _said(day.average), str(day.maximum))
        console.print()
        console.print(days)
    if view.work:
        work = _table("WORK", "IN", "OPERATORS", "AMOUNT")
        for each_kind in view.work:
            amounts = (str(each_kind.operators), str(each_kind.amount))
            work.add_row(each_kind.kind, each_kind.cell, *amounts)
        console.print()
        console.print(work)
    asked = view.shared + len(view.unknown)
    console.print(
        f"\n[dim]{view.shared} of {asked} operators share; average and maximum: 24 h[/dim]"
    )
    if view.unknown:
        console.print("unknown share: " + ", ".join(view.unknown), markup=False)
    for line in payouts.lines():
        console.print(line, markup=False)


def _table(first: str, *others: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first)
    for each in others:
        table.add_column(each, justify="right")
    return table


def _said(value: object) -> str:
    return "?" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

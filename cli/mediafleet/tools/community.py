"""`mediafleet community`: what an operator shares, and what several share together."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mediafleet.tools.asking import TokenOption, fetch, post

if TYPE_CHECKING:
    from rich.table import Table

    from mediafleet_scheduler.core.community.collecting import Summary, View


_PAGE: Final = "Page"


class Action(StrEnum):
    """What is shown."""

    PREVIEW = "preview"
    STATUS = "status"
    LEAVE = "leave"
    COLLECT = "collect"


class Output(StrEnum):
    """How it is shown."""

    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class PageOptions:
    """A collector that goes on, and shows a page."""

    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="For collect: go on collecting, and show the world map here.",
            rich_help_panel=_PAGE,
        ),
    ] = None
    operator: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Who runs the collector and what for; the page says so.",
            rich_help_panel=_PAGE,
        ),
    ] = None
    http_token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Who has its content as bearer token may read /operators, each by itself; without "
            "it loopback alone.",
            rich_help_panel=_PAGE,
        ),
    ] = None

    def check(self) -> None:
        """Raise typer.BadParameter where they do not go together."""
        if self.listen is not None and not (self.operator or "").strip():
            raise typer.BadParameter("--listen needs --operator TEXT: who runs it, and what for")


def community(
    action: Annotated[
        Action,
        typer.Argument(
            help="preview: the very bytes that one advertiser shares. status: what was read of it. "
            "leave: share nothing any more. collect: what several share, together."
        ),
    ],
    *,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="HTTP port (--http) of an advertiser; repeatable. For leave: yours, as collectors "
            "name it.",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="For leave: the advertiser's --community-state."),
    ] = None,
    collector: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="For leave: a collector's --listen, which is to delete; repeatable."
        ),
    ] = None,
    token: TokenOption = None,
    page: PageOptions,
    output: Annotated[
        Output, typer.Option("--output", "-o", help="For collect: table or json.")
    ] = Output.TABLE,
) -> None:
    """Show demand by region that operators share by choice.

    An advertiser shares what the file of its --community says, and nothing without one.
    """
    page.check()
    if action is Action.LEAVE:
        _leave(state)
        _ask_to_forget(target or [], collector or [])
    elif not target:
        raise typer.BadParameter(f"{action} needs --target URL")
    elif page.listen is not None:
        _serve(target, page)
    elif action is Action.COLLECT:
        _show(target, output)
    else:
        for each in target:
            _print_shared(action, each, token)


def _print_shared(action: Action, target: str, token: str | None) -> None:
    if action is Action.STATUS:
        typer.echo(target, err=True)
        status = json.loads(fetch("--target", target, "/community/status", token=token))
        typer.echo(json.dumps(status, indent=2))
        return
    for path in ("/metrics/community", "/summary"):
        typer.echo(f"{target}{path}", err=True)
        typer.echo(fetch("--target", target, path), nl=False)


def _show(targets: list[str], output: Output) -> None:
    view, errors = _collect(targets)
    for why in errors:
        typer.echo(why, err=True)
    if output is Output.JSON:
        typer.echo(json.dumps(asdict(view), indent=2))
    else:
        _print(view)
    if not view.shared:
        raise typer.Exit(1)


def _leave(folder: Path | None) -> None:
    from mediafleet_common.serving.run import CannotStartError
    from mediafleet_scheduler.community.state import State

    if folder is None or not folder.is_dir():
        raise typer.BadParameter("leave needs --state DIR, the advertiser's --community-state")
    try:
        deleted = State(folder).leave()
    except CannotStartError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(
        f"left: nothing is counted or published any more; {deleted} days deleted from {folder}"
    )
    typer.echo(f"to share again, delete {folder}/left and start the advertiser again")


def _ask_to_forget(targets: list[str], collectors: list[str]) -> None:
    """Have each collector delete what it has of us, and say what it answers."""
    failed = False
    for each in collectors:
        for target in targets:
            answer, deleted = post("--collector", each, "/forget", {"target": target})
            typer.echo(f"{each}: {answer}")
            failed = failed or not deleted
    if collectors and not targets:
        raise typer.BadParameter("--collector needs --target URL: your advertiser as it names it")
    if failed:
        raise typer.Exit(1)


def _serve(targets: list[str], page: PageOptions) -> None:
    import asyncio

    from mediafleet_common.serving.access import LoopbackOnly, TokenFile
    from mediafleet_common.serving.run import run
    from mediafleet_scheduler.community.collector import Collector
    from mediafleet_scheduler.community.map_page import serve

    async def main(stop: asyncio.Event) -> None:
        collector = Collector(targets, page.operator or "")
        token = page.http_token_file
        access = LoopbackOnly() if token is None else TokenFile(token)

        def on_ready(port: int) -> None:
            host = (page.listen or "").rpartition(":")[0]
            typer.echo(f"mediafleet community ready: http://{host}:{port}/")

        await serve(collector, page.listen or "", access, stop, on_ready)

    raise typer.Exit(run(main))


def _collect(targets: list[str]) -> tuple[View, list[str]]:
    from mediafleet_scheduler.core.community.collecting import (
        NoSummaryError,
        read_summary,
        together,
    )

    summaries: dict[str, Summary] = {}
    errors: list[str] = []
    for each in dict.fromkeys(targets):
        try:
            summaries[each] = read_summary(fetch("--target", each, "/summary").encode())
        except NoSummaryError as error:
            errors.append(f"{each}: no summary: {error}")
        except typer.Exit:
            continue  # fetch has said why
    return together(summaries, set(targets) - summaries.keys()), errors


def _print(view: View) -> None:
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
    asked = view.shared + len(view.unknown)
    console.print(
        f"\n[dim]{view.shared} of {asked} operators share; average and maximum: 24 h[/dim]"
    )
    if view.unknown:
        console.print("unknown share: " + ", ".join(view.unknown), markup=False)


def _table(first: str, *others: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first)
    for each in others:
        table.add_column(each, justify="right")
    return table


def _said(value: object) -> str:
    return "?" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

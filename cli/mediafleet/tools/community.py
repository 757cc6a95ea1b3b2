"""`mediafleet community`: what an operator shares, and what several share together."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mediafleet.options import NetworkOption, networks
from mediafleet.tools.asking import TokenOption, fetch, post

if TYPE_CHECKING:
    import asyncio

    from rich.table import Table

    from mediafleet_scheduler.community.collector import Collector
    from mediafleet_scheduler.community.tickets.paid import Paid
    from mediafleet_scheduler.core.community.checks.payouts import Payouts
    from mediafleet_scheduler.core.community.collecting import View


_PAGE: Final = "Page"
_PAID: Final = "Tickets"


class Action(StrEnum):
    """What is shown."""

    PREVIEW = "preview"
    STATUS = "status"
    LEAVE = "leave"
    COLLECT = "collect"
    DETAIL = "detail"


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

    invitations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML file of who is invited to see /detail, each while their operator shares.",
            rich_help_panel=_PAGE,
        ),
    ] = None

    def check(self) -> None:
        """Raise typer.BadParameter where they do not go together."""
        if self.listen is not None and not (self.operator or "").strip():
            raise typer.BadParameter("--listen needs --operator TEXT: who runs it, and what for")


@dataclass(frozen=True, slots=True)
class ChainOptions:
    """Orchestrators as they stand on-chain."""

    from_chain: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            help="For collect: JSON of service URIs, each of which is asked where gateways call.",
        ),
    ] = None
    allow_network: NetworkOption = None
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="For detail: private key (hexadecimal) of your address on-chain; it signs in.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class PaidOptions:
    """What orchestrators are paid."""

    tickets: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            help="For collect with --from-chain: winning tickets of the last day, a file with what "
            "eth_getLogs answered or an RPC. Who does not share is estimated by them.",
            rich_help_panel=_PAID,
        ),
    ] = None
    broker: Annotated[
        str | None,
        typer.Option(
            metavar="0x...",
            help="Contract TicketBroker, where an RPC is asked.",
            rich_help_panel=_PAID,
        ),
    ] = None
    wei_per_stream_hour: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="What a stream pays in an hour. Who shares figures that disagree is marked.",
            rich_help_panel=_PAID,
        ),
    ] = None

    def check(self, from_chain: str | None) -> None:
        """Raise typer.BadParameter where they do not go together."""
        if self.tickets is None:
            return
        if from_chain is None:
            raise typer.BadParameter("--tickets needs --from-chain: it has who is paid")
        if self.tickets.startswith(("http://", "https://")) and self.broker is None:
            raise typer.BadParameter("an RPC needs --broker")


def community(
    action: Annotated[
        Action,
        typer.Argument(
            help="preview: the very bytes that one advertiser shares. status: what was read of it. "
            "leave: share nothing any more. collect: what several share, together. detail: what "
            "each shares, of a --collector, for who shares too."
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
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="For leave: the advertiser's --community-state. For preview: those of replicas "
            "without a Redis, whose figures are shown as bounds; repeatable.",
        ),
    ] = None,
    collector: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="A collector's --listen. For leave: which is to delete; repeatable. For detail: "
            "which is asked.",
        ),
    ] = None,
    chain: ChainOptions,
    token: TokenOption = None,
    page: PageOptions,
    paid: PaidOptions,
    output: Annotated[
        Output, typer.Option("--output", "-o", help="For collect: table or json.")
    ] = Output.TABLE,
) -> None:
    """Show demand by region that operators share by choice.

    An advertiser shares what the file of its --community says, and nothing without one.
    """
    page.check()
    paid.check(chain.from_chain)
    if action is Action.LEAVE:
        _leave(state or [])
        _ask_to_forget(target or [], collector or [])
    elif action is Action.DETAIL:
        _print_detail(collector or [], token, chain.key)
    elif action is Action.COLLECT:
        if not target and chain.from_chain is None:
            raise typer.BadParameter("collect needs --target URL or --from-chain FILE|URL")
        _collect(target or [], chain, page, paid, output)
    elif action is Action.PREVIEW and state:
        _print_bounds(state)
    else:
        if not target:
            raise typer.BadParameter(f"{action} needs --target URL")
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


def _print_bounds(folders: list[Path]) -> None:
    """What replicas published in the last day, as bounds."""
    from mediafleet_scheduler.community.replicas import last_day
    from mediafleet_scheduler.core.community.checks.replicas import merged
    from mediafleet_scheduler.core.community.stored import NotStoredError

    try:
        hours = merged([last_day(each) for each in folders])
    except NotStoredError as error:
        typer.echo(f"--state {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(json.dumps({"of": len(folders), "hours": hours}, indent=2))


def _leave(folders: list[Path]) -> None:
    from mediafleet_common.serving.run import CannotStartError
    from mediafleet_scheduler.community.state import State

    if len(folders) != 1 or not folders[0].is_dir():
        raise typer.BadParameter("leave needs one --state DIR, the advertiser's --community-state")
    (folder,) = folders
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


def _collect(
    targets: list[str], chain: ChainOptions, page: PageOptions, paid: PaidOptions, output: Output
) -> None:
    import asyncio
    from dataclasses import replace

    from mediafleet_common.formats.reach import PUBLIC
    from mediafleet_common.serving.run import run
    from mediafleet_scheduler.community.collector import Collector
    from mediafleet_scheduler.core.community.members.chain import NoListError

    strangers = replace(PUBLIC, networks=networks(chain.allow_network))
    urls = [each if "://" in each else f"http://{each}" for each in targets]
    collector = Collector(
        urls,
        page.operator or "",
        from_chain=chain.from_chain,
        strangers=strangers,
        paid=_paid(paid),
    )
    if page.listen is not None:
        raise typer.Exit(run(partial(_serve, collector, page)))

    try:
        asyncio.run(collector.once())
    except NoListError as error:
        typer.echo(f"--from-chain {chain.from_chain}: {error}", err=True)
        raise typer.Exit(1) from error
    for each in collector.targets.values():
        if each.refused is not None:
            typer.echo(f"{each.url}: {each.refused}", err=True)
    view = collector.together()
    if output is Output.JSON:
        told = {**asdict(view), "byTickets": collector.payouts.each}
        typer.echo(json.dumps(told, indent=2))
    else:
        _print(view, collector.payouts)
    if not view.shared:
        raise typer.Exit(1)


def _paid(options: PaidOptions) -> Paid | None:
    from mediafleet_scheduler.community.tickets.paid import Paid
    from mediafleet_scheduler.community.tickets.winning import Winning

    if options.tickets is None:
        return None
    return Paid(Winning(options.tickets, options.broker), options.wei_per_stream_hour)


async def _serve(collector: Collector, page: PageOptions, stop: asyncio.Event) -> None:
    from mediafleet_common.serving.access import LoopbackOnly, TokenFile
    from mediafleet_scheduler.community.map_page import serve

    token = page.http_token_file
    access = LoopbackOnly() if token is None else TokenFile(token)

    def on_ready(port: int) -> None:
        host = (page.listen or "").rpartition(":")[0]
        typer.echo(f"mediafleet community ready: http://{host}:{port}/")

    await serve(collector, page.listen or "", access, stop, on_ready, page.invitations)


def _print_detail(collectors: list[str], token: str | None, key: Path | None) -> None:
    """What each operator shares, for who is invited or signs in."""
    if len(collectors) != 1 or (token is None) == (key is None):
        raise typer.BadParameter("detail needs one --collector URL, and --token or --key FILE")
    (collector,) = collectors
    token = token or _sign_in(collector, key)
    told = json.loads(fetch("--collector", collector, "/detail", token=token))
    typer.echo(json.dumps(told, indent=2))


def _sign_in(collector: str, key: Path | None) -> str:
    from mediafleet_common.formats import eth
    from mediafleet_common.serving.small_files import read_small_text

    assert key is not None
    message = json.loads(fetch("--collector", collector, "/detail/message"))["message"]
    try:
        signature = eth.sign_personal(eth.private_key(read_small_text(key)), message.encode())
    except (OSError, ValueError) as error:
        typer.echo(f"--key {key}: {error}", err=True)
        raise typer.Exit(1) from error
    body = {"message": message, "signature": "0x" + signature.hex()}
    answer, signed_in = post("--collector", collector, "/detail/session", body, "token")
    if not signed_in:
        typer.echo(f"{collector}: {answer}", err=True)
        raise typer.Exit(1)
    return answer


def _print(view: View, payouts: Payouts) -> None:
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

"""`collect`: what several share together, once or as a page that goes on."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import typer

from mediafleet.community.options import (
    ChainOptions,
    Output,
    PageOptions,
    PaidOptions,
    StoreOptions,
)
from mediafleet.community.tables import print_view
from mediafleet.options import networks

if TYPE_CHECKING:
    import asyncio

    from mediafleet_scheduler.community.collector import Collector
    from mediafleet_scheduler.community.tickets.paid import Paid
    from mediafleet_scheduler.community.weeks.archive import Archive

_ADDRESSED: Final = re.compile(r"(.+)=0x([0-9a-fA-F]{40})")


@dataclass(frozen=True, slots=True)
class Choices:
    """What the command line says of a collector."""

    chain: ChainOptions
    page: PageOptions
    paid: PaidOptions
    store: StoreOptions


def target(text: str) -> tuple[str, bytes | None]:
    """A --target: its URL, and the ETH address of its orchestrator where one is given."""
    found = _ADDRESSED.fullmatch(text)
    url, address = (found[1], bytes.fromhex(found[2])) if found else (text, None)
    if "=" in url:
        raise typer.BadParameter(f"--target {text}: give URL, or URL=0x and 40 hexadecimal digits")
    return url if "://" in url else f"http://{url}", address


def collect(targets: list[str], chosen: Choices, output: Output) -> None:
    """Ask all once and print it, or go on and serve the page."""
    import asyncio

    from mediafleet_common.formats.reach import PUBLIC
    from mediafleet_common.serving.run import run
    from mediafleet_scheduler.community.collector import Collector
    from mediafleet_scheduler.core.community.members.chain import NoListError

    chain, page = chosen.chain, chosen.page
    strangers = replace(PUBLIC, networks=networks(chain.allow_network))
    collector = Collector(
        dict(map(target, targets)),
        page.operator or "",
        from_chain=chain.from_chain,
        strangers=strangers,
        paid=_paid(chosen.paid),
        archive=_archive(chosen.store),
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
    kept = collector.archive
    for said in (kept.complaint, kept.refusal) if kept is not None else ():
        if said is not None:
            typer.echo(f"--store {chosen.store.store}: {said}", err=True)
    view = collector.together()
    if output is Output.JSON:
        told = {**asdict(view), "byTickets": collector.payouts.each}
        typer.echo(json.dumps(told, indent=2))
    else:
        print_view(view, collector.payouts)
    if not view.shared:
        raise typer.Exit(1)


def _paid(options: PaidOptions) -> Paid | None:
    from mediafleet_scheduler.community.tickets.paid import Paid
    from mediafleet_scheduler.community.tickets.winning import Winning

    if options.tickets is None:
        return None
    return Paid(Winning(options.tickets, options.broker), options.wei_per_stream_hour)


def _archive(options: StoreOptions) -> Archive | None:
    from mediafleet_scheduler.community.weeks.archive import Archive
    from mediafleet_scheduler.community.weeks.store import Store

    if options.store is None:
        return None
    return Archive(Store(options.store, options.store_token_file), options.store_days)


async def _serve(collector: Collector, page: PageOptions, stop: asyncio.Event) -> None:
    from mediafleet_common.serving.access import LoopbackOnly, TokenFile
    from mediafleet_scheduler.community.map_page import serve

    token = page.http_token_file
    access = LoopbackOnly() if token is None else TokenFile(token)

    def on_ready(port: int) -> None:
        host = (page.listen or "").rpartition(":")[0]
        typer.echo(f"mediafleet community ready: http://{host}:{port}/")

    await serve(collector, page.listen or "", access, stop, on_ready, page.invitations)

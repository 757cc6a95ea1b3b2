"""`mediafleet community`: what an operator shares, and what several share together."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mediafleet.community.collect import Choices, collect
from mediafleet.community.detail import print_detail
from mediafleet.community.options import (
    ChainOptions,
    Output,
    PageOptions,
    PaidOptions,
    StoreOptions,
)
from mediafleet.community.sharing import (
    ask_to_forget,
    leave,
    print_bounds,
    print_shared,
    print_status,
)
from mediafleet.tools.asking import TokenOption


class Action(StrEnum):
    """What is shown."""

    PREVIEW = "preview"
    STATUS = "status"
    LEAVE = "leave"
    COLLECT = "collect"
    DETAIL = "detail"


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
            metavar="URL[=0xADDRESS]",
            help="HTTP port (--http) of an advertiser; repeatable. For collect: with the address "
            "of its orchestrator on-chain, by which it signs in and is paid. For leave: yours, as "
            "collectors name it.",
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
    store: StoreOptions,
    output: Annotated[
        Output, typer.Option("--output", "-o", help="For collect: table or json.")
    ] = Output.TABLE,
) -> None:
    """Show demand by region that operators share by choice.

    An advertiser shares what the file of its --community says, and nothing without one.
    """
    page.check()
    paid.check(chain.from_chain, target or [])
    store.check()
    if action is Action.LEAVE:
        leave(state or [])
        ask_to_forget(target or [], collector or [])
    elif action is Action.DETAIL:
        print_detail(collector or [], token, chain.key)
    elif action is Action.COLLECT:
        if not target and chain.from_chain is None:
            raise typer.BadParameter("collect needs --target URL or --from-chain FILE|URL")
        collect(target or [], Choices(chain, page, paid, store), output)
    elif action is Action.PREVIEW and state:
        print_bounds(state)
    else:
        if not target:
            raise typer.BadParameter(f"{action} needs --target URL")
        for each in target:
            if action is Action.STATUS:
                print_status(each, token)
            else:
                print_shared(each)

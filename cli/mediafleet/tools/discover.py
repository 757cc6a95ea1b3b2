"""`mediafleet discover`: what a gateway finds, and why not the others."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mediafleet.options import NetworkOption, Output, OutputOption, networks

if TYPE_CHECKING:
    from mediafleet_common.formats.ip_addresses import IpNetwork
    from mediafleet_scheduler.core.advertise.capabilities import Sessions
    from mediafleet_scheduler.core.advertise.discovery import Found, Missed, Report, Wishes


_PIPE_WIDTH: Final = 500
"""Where nobody sees where a line ends, each entry has one."""


def discover(
    *,
    orch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="Orchestrator to begin with, as a gateway's -orchAddr; repeatable."
        ),
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(metavar="URL", help="URL of a JSON list to begin with (-orchWebhookUrl)."),
    ] = None,
    extra_nodes: Annotated[
        int,
        typer.Option(
            metavar="COUNT",
            max=1000,
            help="The gateway's -extraNodes; at its default of 0 no list works.",
        ),
    ] = 0,
    count: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT",
            help="How many orchestrators to look for; by default as many as are given, as a "
            "gateway does.",
        ),
    ] = None,
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="The gateway's -discoveryTimeout.")
    ] = "500ms",
    capability: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CAPABILITY",
            help="Only those that have it: a number, PIPELINE or PIPELINE/MODEL; repeatable.",
        ),
    ] = None,
    suspended: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL[=PENALTY]",
            help="A transcoder that the gateway has suspended; repeatable. The least penalty, by "
            "default 1, is tried first.",
        ),
    ] = None,
    blocklist: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="ETH address on the gateway's -orchBlocklist; repeatable, or several by comma.",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Private key (hexadecimal) to sign with, which nodes on-chain demand.",
        ),
    ] = None,
    allow_network: NetworkOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Discover orchestrators as a gateway does: who is found, how fast, and why not the others.

    Exit status 1 when nobody is found. Without --key it signs nothing, so that nodes on-chain
    refuse it: they are shown as refused, with their own words.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from mediafleet_common.api.durations import seconds
    from mediafleet_common.serving import logs
    from mediafleet_scheduler.core.advertise.capabilities import UnknownCapabilityError, wanted
    from mediafleet_scheduler.core.advertise.discovery import Wishes
    from mediafleet_scheduler.discover import gateway_call
    from mediafleet_scheduler.discover.webhook import BadWebhookError

    logs.configure("warning")
    allowed = networks(allow_network)
    if bool(orch) == bool(webhook):
        raise typer.BadParameter("give either --orch URL, or --webhook URL")
    try:
        wishes = Wishes(
            extra_nodes=extra_nodes,
            count=count,
            timeout_seconds=seconds(timeout),
            capabilities=tuple(wanted(each) for each in capability or ()),
            suspended=dict(map(_penalty, suspended or ())),
            blocked=frozenset(
                each.strip().lower().removeprefix("0x")
                for text in blocklist or ()
                for each in text.split(",")
            ),
        )
        message = gateway_call.request(
            wishes.capabilities, key.read_text(encoding="ascii") if key else None
        )
    except OSError as error:
        raise typer.BadParameter(f"--key: {error}") from error
    except (UnknownCapabilityError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    try:
        report = asyncio.run(_round(_addresses(orch or ()), webhook, wishes, message, allowed))
    except BadWebhookError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    if output is Output.JSON:
        import json

        typer.echo(json.dumps(as_data(report, wishes), indent=2))
    else:
        _print(report, wishes)
    raise typer.Exit(0 if report.found else 1)


def _penalty(text: str) -> tuple[str, int]:
    url, equals, penalty = text.rpartition("=")
    if not equals:
        return text, 1
    if not (penalty.isascii() and penalty.isdigit() and int(penalty) > 0):
        raise ValueError(f"--suspended {text}: the penalty is a whole number above 0")
    return url, int(penalty)


def _addresses(texts: Sequence[str]) -> list[str]:
    # As -orchAddr takes them (cmd/livepeer/starter/starter.go, parseOrchAddrs).
    given = [each.strip() for text in texts for each in text.split(",")]
    return [each if each.startswith("http") else f"https://{each}" for each in given if each]


async def _round(
    top: Sequence[str],
    webhook: str | None,
    wishes: Wishes,
    message: bytes,
    allowed: tuple[IpNetwork, ...],
) -> Report:
    from mediafleet_common.formats.node_url import is_local
    from mediafleet_common.formats.reach import OWN_WORD, Reach
    from mediafleet_scheduler.core.advertise.discovery import Failure, Offer
    from mediafleet_scheduler.core.advertise.gateway_url import gateway_url
    from mediafleet_scheduler.discover import gateway_call, rounds
    from mediafleet_scheduler.discover.webhook import addresses

    # What the user names is their own word; what others tell may be nearer only where that is.
    given = [webhook] if webhook is not None else top
    near = any(where is not None and is_local(where) for where in map(gateway_url, given))
    public = Reach(loopback=near, networks=allowed)
    named = frozenset(top)
    if webhook is not None:
        top = await addresses(webhook)

    async def ask(url: str) -> Offer | Failure:
        return await gateway_call.ask(url, message, OWN_WORD if url in named else public)

    return await rounds.discover(top, wishes, ask)


def as_data(report: Report, wishes: Wishes) -> dict[str, Any]:
    """For `-o json`."""
    return {
        "found": [_found(each, wishes) for each in report.found],
        "left_out": [
            {
                **asdict(each.visit),
                "why": each.why.value,
                "detail": each.detail,
                "latency_ms": _milliseconds(each.latency_seconds),
            }
            for each in report.left_out
        ],
        "ended": report.ended.value,
        "answers": report.answers,
        "places": report.places,
    }


def _found(each: Found, wishes: Wishes) -> dict[str, Any]:
    sessions = _sessions(each, wishes)
    return {
        **asdict(each.visit),
        "transcoder": each.offer.transcoder,
        "latency_ms": _milliseconds(each.latency_seconds),
        "price_per_unit": each.offer.price_per_unit,
        "pixels_per_unit": each.offer.pixels_per_unit,
        "eth_address": each.offer.eth_address,
        "capabilities": sorted(each.offer.capabilities.numbers)
        if each.offer.capabilities
        else None,
        "sessions": None if sessions is None else asdict(sessions),
        "suspended": each.suspended,
    }


def _sessions(each: Found, wishes: Wishes) -> Sessions | None:
    can = each.offer.capabilities
    return None if can is None else can.total(wishes.capabilities)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _print(report: Report, wishes: Wishes) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("TRANSCODER", "LATENCY", "PRICE", "SESSIONS", "LISTED BY", "NOTE"):
        # Nothing is cut off: half a URL, or half a reason, is none.
        table.add_column(
            column, justify="right" if column == "LATENCY" else "left", overflow="fold"
        )
    for found in report.found:
        table.add_row(*_cells(found, wishes))
    for missed in report.left_out:
        table.add_row(*_missed_cells(missed), style="dim")
    if report.found or report.left_out:
        console.print(table)
    console.print(
        f"{len(report.found)} found, {len(report.left_out)} left out; "
        f"ended: {report.ended.value.replace('_', ' ')}, "
        f"{report.answers} of {max(0, report.places)} answers"
    )
    if wishes.extra_nodes <= 0:
        console.print("extraNodes is not above 0: a gateway set so looks at no list of nodes")


def _cells(found: Found, wishes: Wishes) -> tuple[str, ...]:
    sessions = _sessions(found, wishes)
    offer = found.offer
    price = "?"
    if offer.price_per_unit is not None:
        price = f"{offer.price_per_unit} wei / {offer.pixels_per_unit} px"
    shown = (
        offer.transcoder,
        f"{found.latency_seconds * 1000:.0f} ms",
        price,
        "?" if sessions is None else f"{sessions.in_use} of {sessions.capacity}",
        found.visit.via or "",
        "suspended" if found.suspended else "",
    )
    return tuple(_text(cell) for cell in shown)


def _missed_cells(missed: Missed) -> tuple[str, ...]:
    latency = missed.latency_seconds
    shown = (
        missed.visit.url,
        "" if latency is None else f"{latency * 1000:.0f} ms",
        "",
        "",
        missed.visit.via or "",
        missed.why.value.replace("_", " ") + (f": {missed.detail}" if missed.detail else ""),
    )
    return tuple(_text(cell) for cell in shown)


def _text(foreign: str) -> str:
    """Text of others, fit for a terminal."""
    from rich.markup import escape

    from mediafleet_common.serving.logs import printable

    return escape(printable(foreign))

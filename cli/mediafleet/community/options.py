"""Options of `mediafleet community` that go together, and which of them need each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from mediafleet.options import NetworkOption

_PAGE: Final = "Page"
_PAID: Final = "Tickets"
_STORE: Final = "Store"


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
            help="For collect, with --from-chain or addresses of targets: winning tickets of the "
            "last day, a file with what eth_getLogs answered or an RPC. Who does not share is "
            "estimated by them.",
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

    def check(self, from_chain: str | None, targets: Sequence[str]) -> None:
        """Raise typer.BadParameter where they do not go together."""
        if self.tickets is None:
            return
        if from_chain is None and not any("=0x" in each for each in targets):
            raise typer.BadParameter(
                "--tickets needs --from-chain or --target URL=0xADDRESS: who is paid"
            )
        if self.tickets.startswith(("http://", "https://")) and self.broker is None:
            raise typer.BadParameter("an RPC needs --broker")


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Where weeks are kept."""

    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="For collect: keep weeks in this VictoriaMetrics or Prometheus, by remote write, "
            "and read them from there. Of VictoriaMetrics' cluster: with the tenant, as "
            "http://HOST/select/7/prometheus.",
            rich_help_panel=_STORE,
        ),
    ] = None
    store_token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Its content is the store's bearer token.", rich_help_panel=_STORE
        ),
    ] = None
    store_days: Annotated[
        int,
        typer.Option(
            min=1,
            max=80,
            metavar="DAYS",
            help="So many days are shown; the store itself keeps them.",
            rich_help_panel=_STORE,
        ),
    ] = 56

    def check(self) -> None:
        """Raise typer.BadParameter where it is no URL."""
        if self.store is not None and not self.store.startswith(("http://", "https://")):
            raise typer.BadParameter("--store needs http://HOST:PORT or https://HOST")

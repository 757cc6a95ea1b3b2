"""Options of those who tell, or read, where demand comes from: by a Redis without persistence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from mediafleet_common.formats.ip_addresses import IpNetwork
    from mediafleet_scheduler.community.exchange.redis import Place

_ORIGINS: Final = "Origins"


@dataclass(frozen=True, slots=True)
class OriginOptions:
    """The Redis, and who is who in it."""

    origins_redis: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Redis without persistence, by which a reporter of community metrics is told who "
            "asks, who streams and what works, under names of the day.",
            rich_help_panel=_ORIGINS,
        ),
    ] = None
    origins_redis_password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Password of that Redis.", rich_help_panel=_ORIGINS),
    ] = None
    origins_pool: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What the pool is called there, the same for all of it; --pool by default.",
            rich_help_panel=_ORIGINS,
        ),
    ] = None
    own_network: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CIDR",
            help="Public network of yours, as of nodes to which a Service rewrites sources: an "
            "address there is an unknown origin; repeatable.",
            rich_help_panel=_ORIGINS,
        ),
    ] = None

    def place(self, pool: str | None) -> Place | None:
        """Where it is told; `None`: nowhere.

        Raises:
            typer.BadParameter: the pool has no name.
            CannotStartError: the password cannot be read.
        """
        if self.origins_redis is None:
            return None
        from mediafleet_common.serving.run import CannotStartError
        from mediafleet_common.serving.small_files import MAX_SECRET_BYTES, read_small_text
        from mediafleet_scheduler.community.exchange.redis import Place

        name = self.origins_pool or pool
        if name is None:
            raise typer.BadParameter("--origins-redis needs --origins-pool NAME")
        file = self.origins_redis_password_file
        try:
            password = None if file is None else read_small_text(file, MAX_SECRET_BYTES).strip()
        except OSError as error:
            why = error.strerror
            raise CannotStartError(f"--origins-redis-password-file {file}: {why}") from error
        return Place(self.origins_redis, name, password)

    def networks(self) -> tuple[IpNetwork, ...]:
        """The operator's own.

        Raises:
            typer.BadParameter: one of them is no network.
        """
        from ipaddress import ip_network

        try:
            return tuple(ip_network(each) for each in self.own_network or ())
        except ValueError as error:
            raise typer.BadParameter(f"--own-network: {error}") from error

"""`mediafleet egress`: place each StartEgress on a pod of a fleet."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mediafleet.options import (
    DeclaredRedisOptions,
    HttpOption,
    KedaOptions,
    LogOptions,
    ReportOptions,
    SettingsOption,
)
from mediafleet.services.origins import OriginOptions

if TYPE_CHECKING:
    from mediafleet_common.redises.endpoints import Redises
    from mediafleet_scheduler.core.egress.views import EgressView
    from mediafleet_scheduler.directory.directory import Directory
    from mediafleet_scheduler.egress.connections.opening import Access
    from mediafleet_scheduler.egress.process.serve import Serving

_FLEETS: Final = "Fleets"
_REDIS: Final = "Redis"


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """Where fleets and their pods are read."""

    kube: Annotated[
        bool,
        typer.Option(
            "--kube",
            help="Read EgressFleets and their pods from Kubernetes.",
            rich_help_panel=_FLEETS,
        ),
    ] = False
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="With --kube: namespace to read; repeatable. Default: all we may see.",
            rich_help_panel=_FLEETS,
        ),
    ] = None
    remember: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --kube: keeps what is known of fleets and pods, for a start while the API "
            "server is away.",
            rich_help_panel=_FLEETS,
        ),
    ] = None
    max_priority: Annotated[
        int,
        typer.Option(
            metavar="NUMBER",
            help="With --kube: a fleet's priority counts up to this, since namespaces may share a "
            "Redis.",
            rich_help_panel=_FLEETS,
        ),
    ] = 100
    workers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Instead of --kube: YAML file of fleets and workers; changes are followed.",
            rich_help_panel=_FLEETS,
        ),
    ] = None

    def check(self) -> None:
        """Raise typer.BadParameter where they do not go together."""
        if (self.workers is None) != self.kube:
            raise typer.BadParameter("give either --workers FILE or --kube")
        if self.remember is not None and not self.kube:
            raise typer.BadParameter("--remember goes with --kube")

    def kept_keys(self) -> Path | None:
        """File for the API server's keys, beside what is remembered."""
        return self.remember.with_name("token-keys.json") if self.remember else None

    def mistake(self) -> str | None:
        """What is wrong with the file at present; `None`: nothing, or there is none."""
        if self.workers is None:
            return None
        from mediafleet_scheduler.directory.entries_file import WorkersFile
        from mediafleet_scheduler.directory.files import mistake

        return mistake(self.workers, WorkersFile)

    def directory(self, redises: Redises) -> Directory[EgressView]:
        """What reads them. `redises`: which Redis a fleet may use."""
        if self.workers is not None:
            from mediafleet_scheduler.directory.entries import egress_view
            from mediafleet_scheduler.directory.entries_file import WorkersFile
            from mediafleet_scheduler.directory.files import FileDirectory

            return FileDirectory(self.workers, WorkersFile, egress_view)
        from mediafleet_scheduler.directory.fleets.kube import KubeEgressDirectory
        from mediafleet_scheduler.directory.last_view import LastView
        from mediafleet_scheduler.directory.objects import Bounds

        kept = LastView(self.remember) if self.remember is not None else None
        bounds = Bounds(self.max_priority, redises)
        return KubeEgressDirectory(self.namespace or [], last_view=kept, bounds=bounds)


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """The Redis of livekit-server, and what opens those that fleets name."""

    redis: Annotated[
        str | None,
        typer.Option(
            metavar="redis://HOST:PORT",
            help="The Redis that livekit-server uses, for fleets that name none. Its password, "
            "if any, stands in MEDIAFLEET_REDIS_PASSWORD.",
            rich_help_panel=_REDIS,
        ),
    ] = None
    redis_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Instead of --redis: YAML file with LiveKit's own block `redis` (address, "
            "username, password, db, tls, sentinel_*, cluster_addresses), or a config that has it.",
            rich_help_panel=_REDIS,
        ),
    ] = None
    redis_password: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS=FILE",
            help="File with the password of a Redis that fleets name; repeatable.",
            rich_help_panel=_REDIS,
        ),
    ] = None
    redis_sentinel_password: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS=FILE",
            help="File with the password of the sentinels of a Redis that fleets name; repeatable.",
            rich_help_panel=_REDIS,
        ),
    ] = None
    redis_ca: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS=FILE",
            help="PEM file of the authority of a Redis that fleets name with tls; repeatable.",
            rich_help_panel=_REDIS,
        ),
    ] = None

    redis_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS=HOST",
            help="Another host that may have the passwords of the Redis at ADDRESS: HOST:PORT, "
            ".SUFFIX of names or CIDR; repeatable. Needed for each further address of a fleet, "
            "each node that a cluster announces and each master that sentinels announce.",
            rich_help_panel=_REDIS,
        ),
    ] = None
    redis_tls: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Send the passwords of the Redis at ADDRESS over TLS alone, as with --redis-ca; "
            "repeatable.",
            rich_help_panel=_REDIS,
        ),
    ] = None

    redis_secrets: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With --redis-endpoints: folder with a folder for each of them, by its name, in "
            "which are, as needed, password, sentinel-password and ca.crt.",
            rich_help_panel=_REDIS,
        ),
    ] = None

    def access(self) -> dict[str, Access]:
        """What Redises that fleets name ask for, by address.

        Raises:
            typer.BadParameter: an option makes no sense.
        """
        from mediafleet_common.redises.hosts import BadHostError
        from mediafleet_scheduler.egress.connections.opening import access_to

        hosts: dict[str, list[str]] = {}
        for address, host in _pairs("--redis-host", "HOST", self.redis_host):
            hosts.setdefault(address, []).append(host)
        try:
            return access_to(
                _files("--redis-password", self.redis_password),
                _files("--redis-sentinel-password", self.redis_sentinel_password),
                _files("--redis-ca", self.redis_ca),
                hosts,
                self.redis_tls or [],
            )
        except BadHostError as error:
            raise typer.BadParameter(f"--redis-host: {error}") from None


def egress(
    *,
    fleets: FleetOptions,
    redis: RedisOptions,
    declared: DeclaredRedisOptions,
    http: HttpOption = "127.0.0.1:8080",
    reports: ReportOptions,
    settings: SettingsOption = None,
    keda: KedaOptions,
    origins: OriginOptions,
    logs: LogOptions,
) -> None:
    """Place each StartEgress on the best pod of a fleet, in place of upstream's auction.

    Each worker needs a cluster_id of its own, to which its jobs are sent. livekit-server stays as
    it is.
    """
    from mediafleet_common.serving.run import run

    logs.configure()
    fleets.check()
    if fleets.workers is not None and (redis.redis is None) == (redis.redis_config is None):
        raise typer.BadParameter("--workers needs either --redis or --redis-config")
    access = redis.access()
    password = os.environ.pop("MEDIAFLEET_REDIS_PASSWORD", None)

    async def main(stop: asyncio.Event) -> None:
        from mediafleet_common.redises.endpoints import Redises
        from mediafleet_common.serving import settings_file
        from mediafleet_common.serving.access import LoopbackOnly
        from mediafleet_common.serving.addresses import split_host_port
        from mediafleet_common.serving.run import Start
        from mediafleet_scheduler.egress.base.settings import Settings
        from mediafleet_scheduler.egress.connections.opening import access_to_declared
        from mediafleet_scheduler.egress.process.serve import Options, serve

        def on_ready(serving: Serving) -> None:
            typer.echo(_ready_line(serving, http) + keda.ready_part(serving.scaler_port))

        start = Start()
        redises = start.of(declared.redises, Redises())
        options = Options(
            http,
            redis.redis,
            password,
            redis_config=redis.redis_config,
            access=access,
            redises=redises,
            declared=access_to_declared(redises.endpoints, redis.redis_secrets),
            settings=start.of(lambda: settings_file.read(settings, "egress", Settings), Settings()),
            scaler=start.of(keda.chosen, None),
            work=start.of(lambda: origins.place(None), None),
            reports=start.of(
                lambda: reports.access(in_cluster=fleets.kube, kept=fleets.kept_keys()),
                LoopbackOnly(),
            ),
        )
        start.of(options.check, None)
        start.of(lambda: split_host_port(http), None)
        # By itself a broken file is waited for: it may be half written.
        if start.fails and (mistake := fleets.mistake()):
            start.add(f"--workers {mistake}")
        start.end()
        if fleets.kube:
            from mediafleet_scheduler.directory.conditions import report_mode, report_redis
            from mediafleet_scheduler.directory.events import post

            options = replace(
                options, post=post, report_mode=report_mode, report_redis=report_redis
            )
        await serve(options, fleets.directory(redises), stop, on_ready)

    raise typer.Exit(run(main))


def _files(option: str, pairs: list[str] | None) -> dict[str, Path]:
    return {address: Path(path) for address, path in _pairs(option, "FILE", pairs)}


def _pairs(option: str, what: str, pairs: list[str] | None) -> Iterator[tuple[str, str]]:
    for pair in pairs or []:
        address, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"{option} {pair}: write ADDRESS={what}")
        yield address, value


def _ready_line(serving: Serving, http: str) -> str:
    fleets = len(serving.view.fleets)
    workers = sum(len(fleet.workers) for fleet in serving.view.fleets)
    where = ", ".join(serving.redis) or "none"
    return (
        f"mediafleet egress ready: {fleets} {'fleet' if fleets == 1 else 'fleets'}, "
        f"{workers} {'worker' if workers == 1 else 'workers'}, "
        f"redis {where}, http {http.rpartition(':')[0]}:{serving.http_port}"
    )

"""`mediafleet advertise`: answer GetOrchestrator with the live list of a pool's nodes."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mediafleet.options import (
    HttpOption,
    KedaOptions,
    LogOptions,
    NetworkOption,
    ReportOptions,
    SettingsOption,
    networks,
)
from mediafleet.services.origins import OriginOptions

if TYPE_CHECKING:
    from mediafleet_common.api.community import Community
    from mediafleet_common.formats.ip_addresses import IpNetwork
    from mediafleet_common.serving.unary.port import Contexts
    from mediafleet_scheduler.advertise.desk import Serving
    from mediafleet_scheduler.community.settings import Settings as ReporterSettings
    from mediafleet_scheduler.core.advertise.views import PoolView
    from mediafleet_scheduler.directory.conditions import PoolConditions
    from mediafleet_scheduler.directory.directory import Directory

_NODES: Final = "Nodes"
_TLS: Final = "TLS"
_COMMUNITY: Final = "Community metrics"


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """Which nodes are advertised, and how they are asked."""

    pool: Annotated[
        str | None,
        typer.Option(
            metavar="NAMESPACE/NAME",
            help="OrchestratorPool to answer for, read from Kubernetes.",
            rich_help_panel=_NODES,
        ),
    ] = None
    nodes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Instead of --pool: YAML file of nodes; changes are followed.",
            rich_help_panel=_NODES,
        ),
    ] = None
    probe_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Private key (hexadecimal) that signs what nodes are asked.",
            rich_help_panel=_NODES,
        ),
    ] = None
    region_database: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Database of countries by IP address (.mmdb), for advertise.regions.",
            rich_help_panel=_NODES,
        ),
    ] = None

    def check(self) -> None:
        """Raise typer.BadParameter where they do not go together."""
        if (self.nodes is None) == (self.pool is None):
            raise typer.BadParameter("give either --nodes FILE or --pool NAMESPACE/NAME")
        if self.pool is not None and not all(self.pool.partition("/")):
            raise typer.BadParameter(f"--pool {self.pool!r} is not NAMESPACE/NAME")

    def mistake(self) -> str | None:
        """What is wrong with the file at present; `None`: nothing, or there is none."""
        if self.nodes is None:
            return None
        from mediafleet_scheduler.directory.entries_file import NodesFile
        from mediafleet_scheduler.directory.files import mistake

        return mistake(self.nodes, NodesFile)


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """By which certificate GetOrchestrator is answered."""

    tls_cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Certificate (PEM); a replacement is picked up.",
            rich_help_panel=_TLS,
        ),
    ] = None
    tls_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Key of the certificate (PEM).", rich_help_panel=_TLS),
    ] = None
    tls_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Name or address to sign our own certificate for; repeatable.",
            rich_help_panel=_TLS,
        ),
    ] = None
    plaintext: Annotated[
        bool,
        typer.Option(
            "--plaintext",
            help="No TLS: gateways must be given an http:// URL.",
            rich_help_panel=_TLS,
        ),
    ] = False

    def check(self) -> None:
        """Raise typer.BadParameter where they do not go together."""
        half = (self.tls_cert is None) != (self.tls_key is None)
        if half or (self.plaintext and self.tls_cert is not None):
            raise typer.BadParameter("give both --tls-cert and --tls-key, or --plaintext, or none")

    def contexts(self, names: list[str], *, pages: bool) -> Contexts:
        """For each connection, by the files or by a certificate of our own for `names`; `pages`:
        HTTP/1.1 is spoken too.

        Raises:
            CannotStartError: the files cannot be used.
        """
        from mediafleet_common.serving.tls import FilePair, self_signed_context

        if self.tls_cert is None or self.tls_key is None:
            return self_signed_context(self.tls_host or names, pages=pages)
        import logging

        def on_error(why: str) -> None:
            logging.getLogger(__name__).error("%s; the certificate in force stays", why)

        return FilePair(self.tls_cert, self.tls_key, on_error).contexts(pages=pages)


@dataclass(frozen=True, slots=True)
class CommunityOptions:
    """What is shared with others."""

    community: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML file of what is shared with others on --http; without it nothing is.",
            rich_help_panel=_COMMUNITY,
        ),
    ] = None
    community_state: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for what was shared, 8 weeks of it; without it a restart forgets.",
            rich_help_panel=_COMMUNITY,
        ),
    ] = None

    community_from: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="HTTP port of a reporter of the same pool: what it shares is also shown on "
            "--listen. In place of --community.",
            rich_help_panel=_COMMUNITY,
        ),
    ] = None

    report_only: Annotated[
        bool,
        typer.Option(
            "--report-only",
            help="Count and show what is shared, and answer no gateway: others advertise the pool.",
            rich_help_panel=_COMMUNITY,
        ),
    ] = False

    def check(self) -> None:
        """Raise typer.BadParameter where they do not go together."""
        if self.community_from is not None and self.community is not None:
            raise typer.BadParameter("--community-from goes without --community")
        if self.community is None:
            if self.community_state is not None:
                raise typer.BadParameter("--community-state needs --community")
            if self.report_only:
                raise typer.BadParameter("--report-only needs --community")

    def is_public(self, shared: Community | None) -> bool:
        """Whether pages are shown on the port that gateways call."""
        return self.community_from is not None or (shared is not None and shared.public)


def advertise(
    *,
    nodes: NodeOptions,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where GetOrchestrator is answered.")
    ] = "0.0.0.0:8935",
    tls: TlsOptions,
    http: HttpOption = "127.0.0.1:8080",
    reports: ReportOptions,
    settings: SettingsOption = None,
    allow_network: NetworkOption = None,
    community: CommunityOptions,
    origins: OriginOptions,
    keda: KedaOptions,
    logs: LogOptions,
) -> None:
    """Answer GetOrchestrator with the live list of nodes, from Kubernetes or from a file.

    Without a certificate of yours it signs its own, as go-livepeer does. A gateway visits only
    the first -extraNodes entries of the list, and none unless it sets that flag.
    """
    # A node that is away is news in our own log; gRPC would add three lines of its own each time.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from mediafleet_common.serving.run import run

    logs.configure()
    nodes.check()
    tls.check()
    community.check()
    allowed = networks(allow_network)
    own_networks = origins.networks()

    async def main(stop: asyncio.Event) -> None:
        from mediafleet_common.serving import settings_file
        from mediafleet_common.serving.access import LoopbackOnly
        from mediafleet_common.serving.addresses import split_host_port
        from mediafleet_common.serving.run import Start
        from mediafleet_scheduler.advertise.desk import Settings, serve
        from mediafleet_scheduler.advertise.prober import Manner
        from mediafleet_scheduler.advertise.settings import Times
        from mediafleet_scheduler.community.settings import Settings as ReporterSettings
        from mediafleet_scheduler.community.settings import Telling
        from mediafleet_scheduler.directory.sourced import SourcedDirectory

        start = Start()
        times = start.of(lambda: settings_file.read(settings, "advertise", Times), Times())
        names = start.of(lambda: _own_names(listen, nodes.pool), ["localhost"])
        shared = start.of(lambda: _community(community.community), None)
        contexts = None
        if not tls.plaintext:
            contexts = start.of(
                lambda: tls.contexts(names, pages=community.is_public(shared)), None
            )
        place = start.of(lambda: origins.place(nodes.pool), None)
        request = start.of(lambda: _signed_request(nodes.probe_key), b"")
        scaler = start.of(keda.chosen, None)
        access = start.of(
            lambda: reports.access(
                in_cluster=nodes.pool is not None,
                pools_in=nodes.pool.partition("/")[0] if nodes.pool else None,
            ),
            LoopbackOnly(),
        )
        start.of(lambda: split_host_port(http), None)
        # By itself a broken file is waited for: it may be half written.
        if start.fails and (mistake := nodes.mistake()):
            start.add(f"--nodes {mistake}")
        start.end()
        own = _own_nodes(nodes.nodes, nodes.pool, allowed)
        if community.report_only:
            assert shared is not None
            kept = community.community_state
            reporter = ReporterSettings(http, shared, kept, place, access)
            await _report_only(reporter, own, stop)
            return
        directory = SourcedDirectory(own, times=times.sources)
        chosen = Settings(
            listen,
            http,
            contexts,
            Manner(times.probe, times.probe_timeout_seconds, request),
            own_urls=tuple(f"https://{name}:{listen.rpartition(':')[2]}" for name in names),
            reports=access,
            scaler=scaler,
            times=times,
            region_database=nodes.region_database,
            sources=directory.states,
            community=shared,
            community_state=community.community_state,
            relay=community.community_from,
            telling=None if place is None else Telling(place, own_networks),
            resource=_resource(nodes.pool),
        )

        def on_ready(serving: Serving) -> None:
            line = _ready_line(serving, listen, http, tls.plaintext)
            typer.echo(line + keda.ready_part(serving.scaler_port))

        await serve(chosen, directory, stop, on_ready)

    raise typer.Exit(run(main))


async def _report_only(
    settings: ReporterSettings, directory: Directory[PoolView], stop: asyncio.Event
) -> None:
    from mediafleet_scheduler.advertise.community.report_only import serve

    def on_ready(port: int) -> None:
        host = settings.http.rpartition(":")[0]
        typer.echo(f"mediafleet advertise ready: reports only, http {host}:{port}")

    await serve(settings, directory, stop, on_ready)


def _resource(pool: str | None) -> PoolConditions | None:
    """The pool on which our conditions stand, where there is one."""
    if pool is None:
        return None
    from mediafleet_scheduler.directory.conditions import PoolConditions

    namespace, _, name = pool.partition("/")
    return PoolConditions(namespace, name)


def _own_nodes(
    nodes: Path | None, pool: str | None, allowed: tuple[IpNetwork, ...]
) -> Directory[PoolView]:
    if nodes is not None:
        from mediafleet_scheduler.directory.entries import pool_view
        from mediafleet_scheduler.directory.entries_file import NodesFile
        from mediafleet_scheduler.directory.files import FileDirectory

        return FileDirectory(nodes, NodesFile, partial(pool_view, networks=allowed))
    from mediafleet_scheduler.directory.kube import KubePoolDirectory

    namespace, _, name = (pool or "").partition("/")
    return KubePoolDirectory(namespace, name, networks=allowed)


def _community(path: Path | None) -> Community | None:
    """What is shared; `None`: nothing."""
    if path is None:
        return None
    from mediafleet_common.api.community import Community
    from mediafleet_common.serving.run import CannotStartError
    from mediafleet_common.serving.small_files import read_small
    from mediafleet_scheduler.directory.files import BrokenFileError, parse

    try:
        return parse(read_small(path), Community)
    except (OSError, BrokenFileError) as error:
        raise CannotStartError(f"--community {path}: {error}") from error


def _signed_request(key: Path | None) -> bytes:
    """With what to ask nodes; empty without a key."""
    from mediafleet_common.formats import eth
    from mediafleet_common.serving.run import CannotStartError
    from mediafleet_common.serving.small_files import read_small_text
    from mediafleet_common.wire.livepeer_pb2 import OrchestratorRequest

    if key is None:
        return b""
    try:
        address, signature = eth.sign(eth.private_key(read_small_text(key)))
    except (OSError, ValueError) as error:
        raise CannotStartError(f"--probe-key {key}: {error}") from error
    return OrchestratorRequest(address=address, sig=signature).SerializeToString()


def _own_names(listen: str, pool: str | None) -> list[str]:
    """What our own certificate is for: where we listen, this machine, and the pool's Service."""
    import socket

    from mediafleet_common.serving.addresses import split_host_port

    host, _ = split_host_port(listen)
    names = [] if host in ("0.0.0.0", "::") else [host]
    if pool is not None:
        namespace, _, name = pool.partition("/")
        names += [f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local"]
    return list(dict.fromkeys([*names, socket.gethostname(), "localhost", "127.0.0.1"]))


def _ready_line(serving: Serving, listen: str, http: str, plaintext: bool) -> str:
    view, notice = serving.served_list.view, serving.served_list.notice
    total = len(view.nodes) if view else 0
    listed = len(notice.listing.nodes) if notice else 0
    where = f"{view.namespace}/{view.name}".lstrip("/") if view else "?"
    return (
        f"mediafleet advertise ready: pool {where}, {listed} of {total} nodes listed, "
        f"GetOrchestrator {listen.rpartition(':')[0]}:{serving.grpc_port} "
        f"({'plaintext' if plaintext else 'TLS'}), "
        f"http {http.rpartition(':')[0]}:{serving.http_port}"
    )

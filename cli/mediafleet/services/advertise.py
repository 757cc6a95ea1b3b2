"""`mediafleet advertise`: answer GetOrchestrator with the live list of a pool's nodes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mediafleet.services.scaler_options import (
    ScalerCert,
    ScalerClientCa,
    ScalerKey,
    ScalerListen,
    ScalerPlaintext,
    scaler_part,
)

if TYPE_CHECKING:
    import grpc

    from mediafleet_scheduler.advertise.desk import Serving
    from mediafleet_scheduler.core.advertise.views import PoolView
    from mediafleet_scheduler.directory.conditions import PoolConditions
    from mediafleet_scheduler.directory.directory import Directory


def advertise(
    *,
    listen: Annotated[
        str, typer.Option(help="HOST:PORT of GetOrchestrator.", metavar="HOST:PORT")
    ] = "0.0.0.0:8935",
    nodes: Annotated[
        Path | None, typer.Option(help="YAML file of nodes; followed while we run.")
    ] = None,
    pool: Annotated[
        str | None, typer.Option(help="OrchestratorPool to answer for.", metavar="NAMESPACE/NAME")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="Certificate (PEM); a replacement is picked up.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Key of the certificate (PEM).")] = None,
    tls_host: Annotated[
        list[str] | None,
        typer.Option(help="Name or address to sign our own certificate for; repeatable."),
    ] = None,
    plaintext: Annotated[
        bool, typer.Option("--plaintext", help="No TLS: gateways must be given an http:// URL.")
    ] = False,
    probe_key: Annotated[
        Path | None,
        typer.Option(help="Private key (hexadecimal) with which to ask nodes what they are."),
    ] = None,
    region_database: Annotated[
        Path | None,
        typer.Option(help="Database of countries by IP address (.mmdb), for advertise.regions."),
    ] = None,
    http: Annotated[
        str,
        typer.Option(help="HOST:PORT of /healthz, /readyz, /metrics, /orchestrators, /demand."),
    ] = "127.0.0.1:8080",
    scaler: ScalerListen = None,
    scaler_cert: ScalerCert = None,
    scaler_key: ScalerKey = None,
    scaler_client_ca: ScalerClientCa = None,
    scaler_plaintext: ScalerPlaintext = False,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    log_json: Annotated[bool, typer.Option("--log-json", help="Logs as JSON lines.")] = False,
) -> None:
    """Answer GetOrchestrator with the live list of nodes, from a file or from Kubernetes.

    Without a certificate of yours it signs its own, as go-livepeer does. A gateway visits only
    the first -extraNodes entries of the list, and none unless it sets that flag.
    """
    # A node that is away is news in our own log; gRPC would add three lines of its own each time.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from mediafleet_common.serving import logs
    from mediafleet_common.serving.run import run

    logs.configure(log_level, log_json)
    if (nodes is None) == (pool is None):
        raise typer.BadParameter("give either --nodes FILE or --pool NAMESPACE/NAME")
    if pool is not None and not all(pool.partition("/")):
        raise typer.BadParameter(f"--pool {pool!r} is not NAMESPACE/NAME")
    if (tls_cert is None) != (tls_key is None) or (plaintext and tls_cert is not None):
        raise typer.BadParameter("give both --tls-cert and --tls-key, or --plaintext, or none")

    async def main(stop: asyncio.Event) -> None:
        from mediafleet_scheduler.advertise.desk import Settings, serve
        from mediafleet_scheduler.advertise.prober import Manner
        from mediafleet_scheduler.directory.sourced import SourcedDirectory
        from mediafleet_scheduler.scaler import server as keda

        credentials = None
        if not plaintext:
            credentials = _credentials(tls_cert, tls_key, tls_host or _own_names(listen, pool))
        own = tuple(
            f"https://{name}:{listen.rpartition(':')[2]}" for name in _own_names(listen, pool)
        )
        manner = Manner(request=_signed_request(probe_key))
        chosen = keda.options(
            scaler, scaler_cert, scaler_key, scaler_client_ca, plaintext=scaler_plaintext
        )
        directory = SourcedDirectory(_own_nodes(nodes, pool))
        settings = Settings(
            listen,
            http,
            credentials,
            manner,
            own_urls=own,
            scaler=chosen,
            region_database=region_database,
            sources=directory.states,
            resource=_resource(pool),
        )

        def on_ready(serving: Serving) -> None:
            said = scaler_part(scaler, serving.scaler_port, scaler_plaintext)
            typer.echo(_ready_line(serving, settings.listen, settings.http, plaintext) + said)

        await serve(settings, directory, stop, on_ready)

    raise typer.Exit(run(main))


def _resource(pool: str | None) -> PoolConditions | None:
    """The pool on which our conditions stand, where there is one."""
    if pool is None:
        return None
    from mediafleet_scheduler.directory.conditions import PoolConditions

    namespace, _, name = pool.partition("/")
    return PoolConditions(namespace, name)


def _own_nodes(nodes: Path | None, pool: str | None) -> Directory[PoolView]:
    if nodes is not None:
        from mediafleet_scheduler.directory.entries import pool_view
        from mediafleet_scheduler.directory.entries_file import NodesFile
        from mediafleet_scheduler.directory.files import FileDirectory

        return FileDirectory(nodes, NodesFile, pool_view)
    from mediafleet_scheduler.directory.kube import KubePoolDirectory

    namespace, _, name = (pool or "").partition("/")
    return KubePoolDirectory(namespace, name)


def _credentials(
    certificate: Path | None, key: Path | None, hosts: list[str]
) -> grpc.ServerCredentials:
    from mediafleet_common.serving.tls import FilePair, self_signed_credentials

    if certificate is None or key is None:
        return self_signed_credentials(hosts)
    import logging

    def on_error(why: str) -> None:
        logging.getLogger(__name__).error("%s; the certificate in force stays", why)

    return FilePair(certificate, key, on_error).load()


def _signed_request(key: Path | None) -> bytes:
    """With what to ask nodes; empty without a key."""
    from mediafleet_common.serving.run import CannotStartError
    from mediafleet_common.wire.livepeer_pb2 import OrchestratorRequest
    from mediafleet_scheduler.core.advertise import eth

    if key is None:
        return b""
    try:
        address, signature = eth.sign(eth.private_key(key.read_text(encoding="ascii")))
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

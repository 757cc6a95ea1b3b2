"""`mediafleet egress`: place each StartEgress on a pod of a fleet."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
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
from mediafleet.tools.explain import Output
from mediafleet.tools.explain import explain as ask

if TYPE_CHECKING:
    from mediafleet_scheduler.core.egress.views import EgressView
    from mediafleet_scheduler.directory.directory import Directory
    from mediafleet_scheduler.egress.process.serve import Serving


def egress(
    *,
    redis: Annotated[
        str | None,
        typer.Option(
            help="The Redis that livekit-server uses, for fleets that name none. Its password, "
            "if any, by environment variable MEDIAFLEET_REDIS_PASSWORD.",
            metavar="redis://HOST:PORT",
        ),
    ] = None,
    redis_config: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --redis: YAML file with LiveKit's own block `redis` (address, "
            "username, password, db, tls, sentinel_*, cluster_addresses), or a config that has it.",
        ),
    ] = None,
    redis_password: Annotated[
        list[str] | None,
        typer.Option(
            help="File with the password of a Redis that fleets name; repeatable.",
            metavar="ADDRESS=FILE",
        ),
    ] = None,
    redis_sentinel_password: Annotated[
        list[str] | None,
        typer.Option(
            help="File with the password of the sentinels of a Redis that fleets name; repeatable.",
            metavar="ADDRESS=FILE",
        ),
    ] = None,
    redis_ca: Annotated[
        list[str] | None,
        typer.Option(
            help="PEM file of the authority of a Redis that fleets name with tls; repeatable.",
            metavar="ADDRESS=FILE",
        ),
    ] = None,
    workers: Annotated[
        Path | None, typer.Option(help="YAML file of fleets and workers; followed while we run.")
    ] = None,
    kube: Annotated[
        bool, typer.Option("--kube", help="Learn of EgressFleets and their pods from Kubernetes.")
    ] = False,
    namespace: Annotated[
        list[str] | None,
        typer.Option(help="Namespace to look at; repeatable. Default: all we may see."),
    ] = None,
    remember: Annotated[
        Path | None,
        typer.Option(
            help="With --kube: file in which to keep what is known of fleets and pods, for a start "
            "while the API server is away.",
            metavar="FILE",
        ),
    ] = None,
    http: Annotated[
        str, typer.Option(help="HOST:PORT of /healthz, /readyz, /metrics, /demand, /explain.")
    ] = "127.0.0.1:8080",
    explain: Annotated[
        str | None,
        typer.Option(
            help="Start nothing; ask the desk that runs there why the next job of --type would go "
            "where.",
            metavar="http://HOST:PORT",
        ),
    ] = None,
    kind: Annotated[
        str, typer.Option("--type", help="With --explain: a request type, as in spec.accepts.")
    ] = "track",
    mode: Annotated[
        list[str] | None,
        typer.Option(help="With --explain: this mode only; repeatable. Default: all."),
    ] = None,
    output: Annotated[
        Output, typer.Option("--output", "-o", help="With --explain: form of output.")
    ] = Output.TABLE,
    scaler: ScalerListen = None,
    scaler_cert: ScalerCert = None,
    scaler_key: ScalerKey = None,
    scaler_client_ca: ScalerClientCa = None,
    scaler_plaintext: ScalerPlaintext = False,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    log_json: Annotated[bool, typer.Option("--log-json", help="Logs as JSON lines.")] = False,
) -> None:
    """Answer StartEgress for fleets of egress workers, and hand each job to the best one.

    Workers must have a cluster_id of their own, which is where their jobs are sent; livekit-server
    stays as it is.
    """
    if explain is not None:
        ask(explain, kind, mode or [], output)
        return
    from mediafleet_common.serving import logs
    from mediafleet_common.serving.run import run

    logs.configure(log_level, log_json)
    if (workers is None) != kube:
        raise typer.BadParameter("give either --workers FILE or --kube")
    if remember is not None and not kube:
        raise typer.BadParameter("--remember goes with --kube")
    if workers is not None and (redis is None) == (redis_config is None):
        raise typer.BadParameter("--workers needs either --redis or --redis-config")
    files = [
        _files("--redis-password", redis_password),
        _files("--redis-sentinel-password", redis_sentinel_password),
        _files("--redis-ca", redis_ca),
    ]
    password = os.environ.pop("MEDIAFLEET_REDIS_PASSWORD", None)

    async def main(stop: asyncio.Event) -> None:
        from mediafleet_scheduler.egress.connections.opening import access_to
        from mediafleet_scheduler.egress.process.serve import Options, serve
        from mediafleet_scheduler.scaler import server as keda

        def on_ready(serving: Serving) -> None:
            said = scaler_part(scaler, serving.scaler_port, scaler_plaintext)
            typer.echo(_ready_line(serving, http) + said)

        directory = _directory(workers, namespace or [], remember)
        chosen = keda.options(
            scaler, scaler_cert, scaler_key, scaler_client_ca, plaintext=scaler_plaintext
        )
        options = Options(
            http,
            redis,
            password,
            redis_config=redis_config,
            access=access_to(*files),
            scaler=chosen,
        )
        if kube:
            from mediafleet_scheduler.directory.conditions import tell_mode
            from mediafleet_scheduler.directory.events import post

            options = replace(options, tell=post, tell_mode=tell_mode)
        await serve(options, directory, stop, on_ready)

    raise typer.Exit(run(main))


def _directory(
    workers: Path | None, namespaces: list[str], remember: Path | None
) -> Directory[EgressView]:
    if workers is not None:
        from mediafleet_scheduler.directory.entries import egress_view
        from mediafleet_scheduler.directory.entries_file import WorkersFile
        from mediafleet_scheduler.directory.files import FileDirectory

        return FileDirectory(workers, WorkersFile, egress_view)
    from mediafleet_scheduler.directory.kube import KubeEgressDirectory
    from mediafleet_scheduler.directory.last_view import LastView

    kept = LastView(remember) if remember is not None else None
    return KubeEgressDirectory(namespaces, last_view=kept)


def _files(option: str, pairs: list[str] | None) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for pair in pairs or []:
        address, equals, path = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"{option} {pair}: write ADDRESS=FILE")
        files[address] = Path(path)
    return files


def _ready_line(serving: Serving, http: str) -> str:
    fleets = len(serving.view.fleets)
    workers = sum(len(fleet.workers) for fleet in serving.view.fleets)
    where = ", ".join(serving.redis) or "none"
    return (
        f"mediafleet egress ready: {fleets} {'fleet' if fleets == 1 else 'fleets'}, "
        f"{workers} {'worker' if workers == 1 else 'workers'}, "
        f"redis {where}, http {http.rpartition(':')[0]}:{serving.http_port}"
    )

"""`mediafleet agent`: the sidecar that shows the metrics of an orchestrator node."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mediafleet.options import LogOptions
from mediafleet.services.origins import OriginOptions


class OriginOf(StrEnum):
    """What says where a stream comes from."""

    DOOR = "door"
    CLIENT_IP = "client-ip"


class LoadOf(StrEnum):
    """Where the node's load is read."""

    TRANSCODE = "transcode"
    DOCKER_AI = "docker-ai"
    CONNECTIONS = "connections"
    URL = "url"
    LIVE_RUNNERS = "live-runners"
    REQUESTS = "requests"


def agent(
    *,
    metrics: Annotated[
        str, typer.Option(help="The node's metrics, on loopback.", metavar="URL")
    ] = "http://127.0.0.1:7935/metrics",
    listen: Annotated[
        str, typer.Option(help="Where to show them.", metavar="HOST:PORT")
    ] = "0.0.0.0:7936",
    load: Annotated[
        LoadOf,
        typer.Option(
            metavar="transcode|docker-ai|connections|url|live-runners|requests",
            help="What says whether the node is idle.",
        ),
    ] = LoadOf.TRANSCODE,
    load_url: Annotated[
        str | None, typer.Option(help="Where load url is read.", metavar="URL")
    ] = None,
    load_metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Prometheus metric at --load-url; absent: it is a JSON number."
        ),
    ] = None,
    node_port: Annotated[
        int, typer.Option(metavar="PORT", help="Port that gateways connect to.")
    ] = 8935,
    grace: Annotated[
        str,
        typer.Option(metavar="TIME", help="Grace period that /hold stays within, for example 1h."),
    ] = "30s",
    proxy: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the drain proxy before the node, if any."),
    ] = None,
    refuse_from: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Holds the time from which it refuses new work."),
    ] = None,
    origins: OriginOptions,
    origins_from: Annotated[
        OriginOf,
        typer.Option(
            metavar="door|client-ip",
            help="What says where a stream comes from: the drain proxy before the node, or the "
            "node's metrics under -metricsClientIP, which also put addresses into your Prometheus.",
        ),
    ] = OriginOf.DOOR,
    region_database: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Database of places by IP address (.mmdb)."),
    ] = None,
    logs: LogOptions,
) -> None:
    """Show /metrics of a go-livepeer node's CLI server and nothing else of it.

    That server also moves money, so it must never be reachable from elsewhere. Beside that the
    agent counts the node's connections, and /hold answers once the node is idle or the grace
    period nearly over: as a preStop hook it keeps the node from being ended with sessions.
    """
    from mediafleet_common.agent.agent import serve
    from mediafleet_common.agent.drain_proxy import DrainProxy
    from mediafleet_common.agent.proxy_config import ProxyFiles
    from mediafleet_common.agent.witness import AgentSettings
    from mediafleet_common.api.durations import seconds
    from mediafleet_common.probes.load import Source
    from mediafleet_common.serving.run import run

    if (load is LoadOf.URL) != (load_url is not None):
        raise typer.BadParameter("--load url and --load-url go together")
    if (proxy is None) != (refuse_from is None):
        raise typer.BadParameter("--proxy and --refuse-from go together")
    if load is LoadOf.REQUESTS and proxy is None:
        raise typer.BadParameter("--load requests needs --proxy, which counts them")
    if origins.origins_redis and origins_from is OriginOf.DOOR and proxy is None:
        raise typer.BadParameter("--origins-from door needs --proxy, which sees it")
    own_networks = origins.networks()
    try:
        grace_seconds = seconds(grace)
    except ValueError as error:
        raise typer.BadParameter(f"--grace: {error}") from error
    logs.configure()
    settings = AgentSettings(
        metrics_url=metrics,
        source=Source(load.value),
        load_url=load_url,
        load_metric=load_metric,
        node_port=node_port,
        grace_seconds=grace_seconds,
    )

    files = None if proxy is None or refuse_from is None else (ProxyFiles(proxy), refuse_from)

    def on_ready(port: int) -> None:
        host = listen.rpartition(":")[0]
        typer.echo(f"mediafleet agent ready: {metrics} at http://{host}:{port}/metrics")

    async def main(stop: asyncio.Event) -> None:
        door = DrainProxy(*files) if files else None
        place = origins.place(None)
        if place is None:
            await serve(settings, listen, stop, on_ready, proxy=door)
            return
        from mediafleet_scheduler.community.exchange.door import telling

        seen = door if origins_from is OriginOf.DOOR else metrics
        assert seen is not None
        async with telling(place, seen, region_database, own_networks):
            await serve(settings, listen, stop, on_ready, proxy=door)

    raise typer.Exit(run(main))

"""`mediafleet agent`: the sidecar that shows the metrics of an orchestrator node."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer


def agent(
    *,
    metrics: Annotated[
        str, typer.Option(help="The node's metrics, on loopback.", metavar="URL")
    ] = "http://127.0.0.1:7935/metrics",
    listen: Annotated[
        str, typer.Option(help="Where to show them.", metavar="HOST:PORT")
    ] = "0.0.0.0:7936",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    log_json: Annotated[bool, typer.Option("--log-json", help="Logs as JSON lines.")] = False,
) -> None:
    """Show /metrics of a go-livepeer node's CLI server and nothing else of it.

    That server also moves money, so it must never be reachable from elsewhere.
    """
    from mediafleet_common.serving import logs
    from mediafleet_common.serving.agent import serve
    from mediafleet_common.serving.run import run

    logs.configure(log_level, log_json)

    def on_ready(port: int) -> None:
        host = listen.rpartition(":")[0]
        typer.echo(f"mediafleet agent ready: {metrics} at http://{host}:{port}/metrics")

    async def main(stop: asyncio.Event) -> None:
        await serve(metrics, listen, stop, on_ready)

    raise typer.Exit(run(main))

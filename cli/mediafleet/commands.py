"""The commands. Each imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

from typing import Annotated

import typer

from mediafleet.in_pod.agent import agent
from mediafleet.services.advertise import advertise
from mediafleet.services.egress import egress
from mediafleet.services.operator import operator
from mediafleet.tools.break_glass import break_glass
from mediafleet.tools.discover import discover
from mediafleet.tools.simulate import simulate
from mediafleet.tools.status import status

app = typer.Typer(
    name="mediafleet",
    help="Autoscaled, drain-safe fleets of live-media workers on Kubernetes.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mediafleet {version('mediafleet')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


app.command()(advertise)
app.command()(discover)
app.command()(egress)
app.command()(agent)
app.command()(operator)
app.command()(status)
app.command()(simulate)
app.command()(break_glass)

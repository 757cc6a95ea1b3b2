"""`mediafleet worker`: take a broker's jobs to ai-runner containers beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mediafleet.options import LogOptions

if TYPE_CHECKING:
    import asyncio


def worker(
    *,
    broker: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the broker's workers register.")
    ],
    secret_file: Annotated[
        Path, typer.Option(metavar="FILE", help="What to register with: its first line.")
    ],
    runner: Annotated[
        list[str],
        typer.Option(
            metavar="PIPELINE/MODEL[*CAPACITY]=URL",
            help="An ai-runner and what it serves; repeatable.",
        ),
    ],
    ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Authority that signed the broker's certificate, or that certificate (PEM).",
        ),
    ] = None,
    server_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name in the broker's certificate, if another."),
    ] = None,
    runner_token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Token that the runners ask for.")
    ] = None,
    logs: LogOptions,
) -> None:
    """Register at a broker, and take its jobs to ai-runner containers by their URL.

    SIGTERM: no new jobs, finish those that are there, end.
    """
    from mediafleet_common.serving.run import CannotStartError, run

    logs.configure()

    async def main(stop: asyncio.Event) -> None:
        from mediafleet_scheduler.broker.files import Lines
        from mediafleet_scheduler.worker.client import Settings, TurnedAwayError, Worker
        from mediafleet_scheduler.worker.runners import BadRunnerError, runner_of

        try:
            runners = tuple(runner_of(each) for each in runner)
        except BadRunnerError as error:
            raise CannotStartError(f"--runner: {error}") from error
        token = None if runner_token_file is None else Lines(runner_token_file).first()
        secret = Lines(secret_file).first
        settings = Settings(broker, secret, runners, ca, server_name, token)
        said = f"mediafleet worker ready: registered at {broker}, {len(runners)} runners"
        try:
            await Worker(settings, lambda: typer.echo(said)).run(stop)
        except TurnedAwayError as error:
            raise CannotStartError(f"the broker at {broker} says: {error}") from error

    raise typer.Exit(run(main))

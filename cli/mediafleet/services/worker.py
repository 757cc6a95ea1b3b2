"""`mediafleet worker`: take a broker's jobs to ai-runner containers beside it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mediafleet.options import LogOptions, SettingsOption

if TYPE_CHECKING:
    import asyncio


def worker(
    *,
    broker: Annotated[
        list[str],
        typer.Option(
            metavar="HOST:PORT",
            help="Where the broker's workers register; repeatable: all share one capacity.",
        ),
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
    addresses: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A name whose every address is a broker with --broker's port and certificate, as "
            "of a headless Service: the worker registers at each, and at those that come later.",
        ),
    ] = None,
    server_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name in the broker's certificate, if another."),
    ] = None,
    runner_token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Token that the runners ask for.")
    ] = None,
    cold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PIPELINE/MODEL",
            help="A model that its runner has not loaded: given tasks last; repeatable.",
        ),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Where /healthz, /readyz, /metrics and /hold are served."
        ),
    ] = None,
    wait_for_runners: Annotated[
        bool,
        typer.Option("--wait-for-runners", help="Register when all runners answer /health."),
    ] = False,
    pool_pod: Annotated[
        bool,
        typer.Option(
            "--pool-pod",
            help="In a pod of an AIWorkerPool: name it to the broker (POD_NAMESPACE, POD_NAME, "
            "POD_UID), which gives it tasks while the operator calls it ready.",
        ),
    ] = False,
    settings: SettingsOption = None,
    logs: LogOptions,
) -> None:
    """Register at a broker, and take its jobs to ai-runner containers by their URL.

    SIGTERM: no new jobs, finish those that are there, end.
    """
    from mediafleet_common.serving import settings_file
    from mediafleet_common.serving.run import CannotStartError, run

    logs.configure()

    async def main(stop: asyncio.Event) -> None:
        from mediafleet_scheduler.broker.files import Lines
        from mediafleet_scheduler.worker.brokers import Brokers
        from mediafleet_scheduler.worker.client import Settings, TurnedAwayError, Worker
        from mediafleet_scheduler.worker.runners import BadRunnerError, runner_of
        from mediafleet_scheduler.worker.serve import serve
        from mediafleet_scheduler.worker.times import Times

        try:
            given = tuple(runner_of(each) for each in runner)
        except BadRunnerError as error:
            raise CannotStartError(f"--runner: {error}") from error
        runners = tuple(replace(each, warm=str(each.target) not in (cold or ())) for each in given)
        token = None if runner_token_file is None else Lines(runner_token_file).first()
        secret, pod = Lines(secret_file).first, _pod() if pool_pod else None
        times = settings_file.read(settings, "worker", Times)
        if addresses is not None and len(broker) > 1:
            raise CannotStartError("--addresses goes with one --broker, whose port it takes")
        brokers = Brokers(tuple(broker), addresses, server_name)
        made = Settings(brokers, secret, runners, ca, token, pod, wait_for_runners, times)
        working = Worker(made)

        def say() -> None:
            there = ", ".join(sorted(each.address for each in working.standing))
            typer.echo(f"mediafleet worker ready: registered at {there}, {len(runners)} runners")

        working.on_registered = say
        try:
            await (working.run(stop) if http is None else serve(working, http, stop))
        except TurnedAwayError as error:
            named = ", ".join(broker)
            raise CannotStartError(f"the broker at {named} says: {error}") from error

    raise typer.Exit(run(main))


def _pod() -> tuple[str, str]:
    """The pod that we are in, as its environment says."""
    from mediafleet_common.serving.run import CannotStartError

    names = ("POD_NAMESPACE", "POD_NAME", "POD_UID")
    namespace, name, uid = (os.environ.get(each, "") for each in names)
    if not (namespace and name and uid):
        raise CannotStartError(f"--pool-pod needs {', '.join(names)} in the environment")
    return f"{namespace}/{name}", uid

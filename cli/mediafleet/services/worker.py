"""`mediafleet worker`: take a broker's jobs to ai-runner containers beside it."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mediafleet.options import LogOptions, SettingsOption

if TYPE_CHECKING:
    import asyncio

    from mediafleet_scheduler.stock.desk import StockDesk
    from mediafleet_scheduler.worker.client import Worker
    from mediafleet_scheduler.worker.runners import Runner

_STOCK: Final = "A stock -aiWorker in the same pod"


@dataclass(frozen=True, slots=True)
class StockOptions:
    """A stock worker through which the tasks go."""

    stock_worker: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Where a stock -aiWorker of the pod registers (-orchAddr), with the pod's uid as "
            "secret: it takes the tasks to its runners in our place.",
            rich_help_panel=_STOCK,
        ),
    ] = None
    docker: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="Where its Docker client is answered (DOCKER_HOST).",
            rich_help_panel=_STOCK,
        ),
    ] = "127.0.0.1:7941"
    stock_away: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=1,
            help="Without a task it has stopped for good when it is away for so long: "
            "/stock-worker of --http then answers 503.",
            rich_help_panel=_STOCK,
        ),
    ] = 120.0

    def desk(self, runners: tuple[Runner, ...], pod: tuple[str, str] | None) -> StockDesk | None:
        """What it registers at; `None`: there is no stock worker."""
        if self.stock_worker is None:
            return None
        from mediafleet_common.serving.run import CannotStartError
        from mediafleet_scheduler.stock.desk import Options, StockDesk

        if pod is None:
            raise CannotStartError("--stock-worker needs --pool-pod: the pod's uid is its secret")
        targets = tuple(each.target for each in runners)
        options = Options(self.stock_worker, self.docker, pod[1], targets, self.stock_away)
        return StockDesk(options)


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
    stock: StockOptions,
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
        async with AsyncExitStack() as stack:
            if (desk := stock.desk(runners, pod)) is not None:
                await stack.enter_async_context(desk)
                runners = tuple(replace(each, url=desk.url, itself=each.url) for each in runners)
            before = None if desk is None else desk.registered
            made = Settings(
                brokers, secret, runners, ca, token, pod, wait_for_runners, times, before
            )
            working = Worker(made)
            working.on_registered = lambda: _say(working)
            try:
                if http is None:
                    await working.run(stop)
                else:
                    await serve(working, http, stop, beside=desk)
            except TurnedAwayError as error:
                named = ", ".join(broker)
                raise CannotStartError(f"the broker at {named} says: {error}") from error

    raise typer.Exit(run(main))


def _say(worker: Worker) -> None:
    there = ", ".join(sorted(each.address for each in worker.standing))
    count = len(worker.settings.runners)
    typer.echo(f"mediafleet worker ready: registered at {there}, {count} runners")


def _pod() -> tuple[str, str]:
    """The pod that we are in, as its environment says."""
    from mediafleet_common.serving.run import CannotStartError

    names = ("POD_NAMESPACE", "POD_NAME", "POD_UID")
    namespace, name, uid = (os.environ.get(each, "") for each in names)
    if not (namespace and name and uid):
        raise CannotStartError(f"--pool-pod needs {', '.join(names)} in the environment")
    return f"{namespace}/{name}", uid

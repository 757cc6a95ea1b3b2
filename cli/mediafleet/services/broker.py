"""`mediafleet broker`: remote AI workers register here; orchestrators find one runner."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mediafleet.options import (
    CLUSTER,
    HttpOption,
    KedaOptions,
    LogOptions,
    NamespaceOption,
    ReportOptions,
    SettingsOption,
)
from mediafleet.services.origins import OriginOptions

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from redis.asyncio import Redis

    from mediafleet_scheduler.broker.files import Certificate
    from mediafleet_scheduler.broker.models import ModelsFile
    from mediafleet_scheduler.broker.orchestrators.keeping import Options
    from mediafleet_scheduler.broker.serve import Serving
    from mediafleet_scheduler.core.workers.pools import WorkerPools
    from mediafleet_scheduler.directory.directory import Directory

_WORKERS: Final = "Workers"
_RUNNER: Final = "Runner API"
_API: Final = "JSON API"
_THERE: Final = "Orchestrators"


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Where workers register, and with what."""

    secret_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What workers may register with (-orchSecret), one a line; changes are followed.",
            rich_help_panel=_WORKERS,
        ),
    ] = None
    workers_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML file that names workers and pools, each with a secret of its own; changes "
            "are followed. Beside --secret-file, or in place of it.",
            rich_help_panel=_WORKERS,
        ),
    ] = None
    listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="Where workers register and post results (TLS).",
            rich_help_panel=_WORKERS,
        ),
    ] = "0.0.0.0:8935"
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Certificate (PEM); a replacement is picked up. Stock workers do not verify it.",
            rich_help_panel=_WORKERS,
        ),
    ] = None
    tls_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Key of the certificate (PEM).", rich_help_panel=_WORKERS
        ),
    ] = None

    def check(self) -> None:
        """Raise typer.BadParameter where they do not go together."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise typer.BadParameter("give both --tls-cert and --tls-key, or none")
        if self.secret_file is None and self.workers_file is None:
            raise typer.BadParameter("give --secret-file or --workers-file: who may register")

    def shared(self) -> Callable[[], list[str]]:
        """Secrets that are nobody's own."""
        from mediafleet_scheduler.broker.files import Lines

        return list if self.secret_file is None else Lines(self.secret_file)

    def named(self) -> Callable[[], list[tuple[str, str]]]:
        """Names of workers, with the secret of each."""
        from mediafleet_scheduler.broker.access.workers_file import NamedSecrets

        return list if self.workers_file is None else NamedSecrets(self.workers_file)


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Which AIWorkerPools are the broker's."""

    kube: Annotated[
        bool,
        typer.Option(
            "--kube",
            help="Follow AIWorkerPools and their pods in Kubernetes: who drains gets nothing.",
            rich_help_panel=CLUSTER,
        ),
    ] = False
    namespace: NamespaceOption = None
    remember: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --http-account: keeps the keys by which tokens are checked, for a start "
            "while the API server is away.",
            rich_help_panel=CLUSTER,
        ),
    ] = None

    def directory(self) -> Directory[WorkerPools] | None:
        """What reads them; `None`: nothing does."""
        if not self.kube:
            return None
        from mediafleet_scheduler.directory.kube import KubeWorkerPools

        return KubeWorkerPools(self.namespace or [])


@dataclass(frozen=True, slots=True)
class ShareOptions:
    """Several brokers, which share the tasks of the JSON API."""

    redis: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Redis in which brokers share tasks of the JSON API: one that is gone has its "
            "tasks done by another.",
            rich_help_panel=_API,
        ),
    ] = None
    redis_password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Password of that Redis.", rich_help_panel=_API),
    ] = None
    peer: Annotated[
        str | None,
        typer.Option(
            metavar="HOST[:PORT]",
            help="Where the other brokers reach --listen, by default at its port: results and "
            "inputs of workers that come to the wrong broker are handed on.",
            rich_help_panel=_API,
        ),
    ] = None
    bodies: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder that all of these brokers have, for inputs and results of more than 1 MB.",
            rich_help_panel=_API,
        ),
    ] = None

    def reached(self, listen: str) -> str | None:
        """HOST:PORT of `--peer`."""
        if self.peer is None:
            return None
        from mediafleet_common.formats import ip_addresses
        from mediafleet_common.formats.hosts import unbracketed, with_port
        from mediafleet_common.serving.addresses import split_host_port

        host = unbracketed(self.peer)
        if ip_addresses.parse(host) is not None or ":" not in host:
            return with_port(host, split_host_port(listen)[1])
        return self.peer

    def client(self, answer_seconds: float) -> Redis | None:
        """Of that Redis; `None`: the broker is alone."""
        if self.redis is None:
            return None
        from mediafleet_scheduler.broker.files import Lines
        from mediafleet_scheduler.broker.shared.ledger import client_of

        file = self.redis_password_file
        password = None if file is None else Lines(file).first()
        return client_of(self.redis, password, answer_seconds)


@dataclass(frozen=True, slots=True)
class OrchestratorOptions:
    """Where the broker registers its models by itself."""

    orchestrators: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML file of orchestrators at which models with `byoc` or `live_runner` are "
            "registered; changes are followed.",
            rich_help_panel=_THERE,
        ),
    ] = None
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where these orchestrators reach the HTTP port; by default where it listens.",
            rich_help_panel=_THERE,
        ),
    ] = None

    def options(self, *, loopback: bool) -> Options | None:
        """What registers them; `None`: nothing does.

        Raises:
            typer.BadParameter: they do not go together.
        """
        if self.orchestrators is None:
            return None
        if self.url is None and not loopback:
            raise typer.BadParameter("--orchestrators needs --url: where jobs are to be sent")
        from prometheus_client import CollectorRegistry

        from mediafleet_scheduler.broker.orchestrators.entries import OrchestratorsFile
        from mediafleet_scheduler.broker.orchestrators.keeping import Options
        from mediafleet_scheduler.directory.files import FileDirectory

        directory = FileDirectory(
            self.orchestrators,
            OrchestratorsFile,
            lambda file, _, __: tuple(file.orchestrators),
            CollectorRegistry(),  # The models file counts its readings under the same name.
        )
        return Options(directory, self.orchestrators.parent, self.url)


RunnerTokenOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Token that orchestrators call the runner API with.",
        rich_help_panel=_RUNNER,
    ),
]
ApiTokenOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Tokens of callers of the JSON API (/v1/tasks), one a line; changes are followed. "
        "Without it: loopback alone.",
        rich_help_panel=_API,
    ),
]
ModelsOption = Annotated[
    Path,
    typer.Option(metavar="FILE", help="YAML file of pipelines, models and prices."),
]


def broker(
    *,
    models: ModelsOption,
    workers: WorkerOptions,
    http: HttpOption = "127.0.0.1:8080",
    runner_token_file: RunnerTokenOption = None,
    api_token_file: ApiTokenOption = None,
    sharing: ShareOptions,
    registering: OrchestratorOptions,
    reports: ReportOptions,
    pools: PoolOptions,
    keda: KedaOptions,
    origins: OriginOptions,
    spool: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for inputs and results while a task is there."),
    ] = None,
    settings: SettingsOption = None,
    logs: LogOptions,
) -> None:
    """Take remote AI workers by one address, and be the runner that orchestrators call.

    Workers run `livepeer -aiWorker -orchAddr HOST:PORT -orchSecret SECRET` and need no port of
    their own. Orchestrators take what `mediafleet broker ai-models` prints as their -aiModels. Who
    has no orchestrator posts tasks to /v1/tasks; /v1/ shows how.
    """
    from mediafleet_common.serving.addresses import split_host_port
    from mediafleet_common.serving.run import run

    logs.configure()
    workers.check()
    loopback = split_host_port(http)[0] in ("127.0.0.1", "::1", "localhost")
    if runner_token_file is None and not loopback:
        raise typer.BadParameter(
            "--http beyond this machine needs --runner-token-file: whoever reaches it runs tasks"
        )
    there = registering.options(loopback=loopback)
    own_networks = origins.networks()

    async def main(stop: asyncio.Event) -> None:
        from mediafleet_common.serving import settings_file
        from mediafleet_common.serving.access import LoopbackOnly
        from mediafleet_common.serving.run import Start
        from mediafleet_scheduler.broker.files import Lines
        from mediafleet_scheduler.broker.models import ModelsFile
        from mediafleet_scheduler.broker.serve import Settings, Times, serve
        from mediafleet_scheduler.directory.files import FileDirectory, mistake

        start = Start()
        certificate = start.of(
            lambda: _certificate(workers.tls_cert, workers.tls_key), _certificate(None, None)
        )
        times = start.of(lambda: settings_file.read(settings, "broker", Times), Times())
        chosen = Settings(
            workers.listen,
            http,
            certificate.context,
            secrets=start.of(workers.shared, list),
            named=start.of(workers.named, list),
            token=start.of(lambda: _first_line(runner_token_file), _no_line),
            api_tokens=start.of(lambda: Lines(api_token_file) if api_token_file else None, None),
            reports=start.of(
                lambda: reports.access(in_cluster=pools.kube, kept=pools.remember), LoopbackOnly()
            ),
            pools=pools.directory(),
            orchestrators=there,
            scaler=start.of(keda.chosen, None),
            spool=spool,
            redis=start.of(lambda: sharing.client(times.shared.answer_seconds), None),
            peer=sharing.reached(workers.listen),
            fingerprint=lambda: certificate.fingerprint,
            bodies=sharing.bodies,
            times=times,
            work=start.of(lambda: origins.place(None), None),
            own_networks=own_networks,
            reload=certificate.reload,
        )
        for address in (workers.listen, http):
            start.of(partial(split_host_port, address), None)
        # By itself a broken file is waited for: it may be half written.
        if start.fails and (wrong := mistake(models, ModelsFile)):
            start.add(f"--models {wrong}")
        start.end()
        directory = FileDirectory(models, ModelsFile, lambda file, _, __: tuple(file.models))

        def on_ready(serving: Serving) -> None:
            count = len(directory.view or ())
            typer.echo(
                f"mediafleet broker ready: {count} models, "
                f"workers {workers.listen.rpartition(':')[0]}:{serving.port} (TLS), "
                f"runner API {http.rpartition(':')[0]}:{serving.http_port}"
                f"{keda.ready_part(serving.scaler_port)}"
            )

        await serve(chosen, directory, stop, on_ready)

    raise typer.Exit(run(main))


def ai_models(
    *,
    models: ModelsOption,
    url: Annotated[
        str, typer.Option(metavar="URL", help="Where orchestrators reach the broker's HTTP port.")
    ],
    capacity: Annotated[
        int, typer.Option(min=1, help="Tasks of a model that the orchestrator gives at a time.")
    ] = 1,
    runner_token_file: RunnerTokenOption = None,
) -> None:
    """Print the aiModels.json of an orchestrator that uses a broker as its runner.

    An orchestrator reads it at its start alone: restart it after a change.
    """
    from mediafleet_scheduler.broker.files import Lines
    from mediafleet_scheduler.broker.models import rendered

    token = None if runner_token_file is None else Lines(runner_token_file).first()
    read = _read(models)
    typer.echo(json.dumps(rendered(read, url, capacity, token), indent=2))
    for each in read.models:
        if not each.price_per_unit:
            typer.echo(f"{each.target} has no price: on-chain it needs one", err=True)
    typer.echo("restart the orchestrator: it reads its -aiModels at its start alone", err=True)


def _no_line() -> None:
    """There is no file."""


def _first_line(file: Path | None) -> Callable[[], str | None]:
    """What reads the first line of a file, which may be replaced."""
    from mediafleet_scheduler.broker.files import Lines

    return _no_line if file is None else Lines(file).first


def _read(path: Path) -> ModelsFile:
    from mediafleet_scheduler.broker.models import ModelsFile
    from mediafleet_scheduler.directory.files import BrokenFileError, parse

    try:
        return parse(path.read_bytes(), ModelsFile)
    except (OSError, BrokenFileError) as error:
        raise typer.BadParameter(f"{path}: {error}") from error


def _certificate(certificate: Path | None, key: Path | None) -> Certificate:
    import socket
    import tempfile

    from mediafleet_common.serving.tls import self_signed
    from mediafleet_scheduler.broker.files import Certificate

    if certificate is not None and key is not None:
        return Certificate(certificate, key)
    # Workers do not look whose certificate it is.
    made_key, made = self_signed([socket.gethostname(), "localhost", "127.0.0.1"])
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder, "certificate"), Path(folder, "key")
        for path, text in zip(paths, (made, made_key), strict=True):
            path.touch(mode=0o600)
            path.write_bytes(text)
        pair = Certificate(*paths)
    pair.forget_files()
    return pair

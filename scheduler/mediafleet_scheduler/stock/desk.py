"""A broker on loopback for the stock AI worker of the same pod.

`mediafleet worker` takes its tasks to the runner API of this broker as to any ai-runner, and the
stock worker takes them to the runners. So the pool's broker deals with a worker that names its pod,
drains, verifies its certificate and may stand at several brokers, whichever worker does the tasks.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web
from prometheus_client import CollectorRegistry

from mediafleet_common.serving.run import CannotStartError
from mediafleet_common.serving.tls import self_signed
from mediafleet_scheduler.broker.models import ModelEntry
from mediafleet_scheduler.broker.serve import Serving, Times, serve
from mediafleet_scheduler.broker.serve import Settings as BrokerSettings
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.steps import Rules
from mediafleet_scheduler.core.workers.stock import AWAY_SECONDS, LastSeen, Presence
from mediafleet_scheduler.core.workers.views import Target
from mediafleet_scheduler.stock.docker import DockerStub

LIVENESS_PATH: Final = "/stock-worker"
_LOOK_SECONDS: Final = 0.5
_TIMES: Final = Times(rules=Rules(max_attempts=1, faults=2**31))
"""It has one worker: no other is asked, and the pool's broker is who leaves it out."""


@dataclass(frozen=True, slots=True)
class Options:
    """Where the stock worker finds what it needs."""

    listen: str
    """HOST:PORT where it registers (-orchAddr)."""
    docker: str
    """HOST:PORT where its Docker client is answered (DOCKER_HOST)."""
    secret: str
    """What it registers with (-orchSecret)."""
    targets: tuple[Target, ...]
    """What it serves."""
    away_seconds: float = AWAY_SECONDS


class StockDesk:
    """The broker, and the answer for Docker. An async context manager.

    Raises:
        CannotStartError: on entering, when an address cannot be listened on.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._stop = asyncio.Event()
        self._stack = AsyncExitStack()
        self._serving: Serving | None = None
        self._running: asyncio.Task[None] | None = None
        self._seen: LastSeen | None = None
        self.docker = DockerStub(options.docker)

    async def __aenter__(self) -> Self:
        options = self._options
        settings = BrokerSettings(
            options.listen, "127.0.0.1:0", _context(), lambda: [options.secret], times=_TIMES
        )
        models = _Fixed(tuple(_entries(options.targets)))
        ready: asyncio.Future[Serving] = asyncio.get_running_loop().create_future()
        await self._stack.enter_async_context(self.docker)
        running = asyncio.create_task(
            serve(settings, models, self._stop, ready.set_result, CollectorRegistry())
        )
        either: set[asyncio.Future[Any]] = {running, ready}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await self._stack.aclose()
            await running
            raise CannotStartError(f"the broker at {options.listen} has ended")
        self._running, self._serving = running, ready.result()
        jobs = self._serving.jobs
        self._seen = seen = LastSeen(jobs.now(), options.away_seconds)
        jobs.on_lost = lambda tasks: seen.left(tasks, jobs.now())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)
        await self._stack.aclose()

    @property
    def serving(self) -> Serving:
        """The broker; only once started."""
        if self._serving is None:
            raise RuntimeError("the broker is not started")
        return self._serving

    @property
    def url(self) -> str:
        """Its runner API."""
        return f"http://127.0.0.1:{self.serving.http_port}"

    def presence(self) -> Presence:
        """Where the stock worker is."""
        jobs = self.serving.jobs
        if self._seen is None:
            raise RuntimeError("the broker is not started")
        return self._seen.look(jobs.now(), here=bool(jobs.dispatcher.workers))

    def why_not_ready(self) -> str | None:
        """Why the pod takes no tasks; `None`: the stock worker is there."""
        if self.presence() is Presence.HERE:
            return None
        return "the stock worker is not registered at the broker in its pod"

    def why_not_healthy(self) -> str | None:
        """Why our own process has to be started again; `None`: it need not."""
        ended = self._running is None or self._running.done()
        return "the broker in the pod has ended" if ended else None

    def has_stopped(self) -> bool:
        """Whether the stock worker has stopped for good."""
        return self.presence() is Presence.STOPPED

    async def registered(self) -> None:
        """Wait until the stock worker is there."""
        while self.presence() is not Presence.HERE:  # noqa: ASYNC110 - a broker tells nobody
            await asyncio.sleep(_LOOK_SECONDS)

    def routes(self) -> list[web.RouteDef]:
        """The liveness of the stock worker's container: 503 once it has stopped for good."""

        async def live(_: web.Request) -> web.Response:
            return web.Response(text=self.presence(), status=503 if self.has_stopped() else 200)

        return [web.get(LIVENESS_PATH, live)]


class _Fixed:
    """A directory of models that stay as they are."""

    complaint: str | None = None

    def __init__(self, models: tuple[ModelEntry, ...]) -> None:
        self.view: tuple[ModelEntry, ...] | None = models

    def subscribe(self, listener: Callable[[tuple[ModelEntry, ...]], None]) -> None:
        listener(self.view or ())

    async def run(self) -> None:
        """Nothing changes."""
        await asyncio.Event().wait()


def _entries(targets: tuple[Target, ...]) -> list[ModelEntry]:
    """What a broker can take: nobody is offered image-to-video."""
    return [
        ModelEntry(pipeline=pipeline, model=model)
        for pipeline, model in dict.fromkeys(targets)
        if pipeline is not Pipeline.IMAGE_TO_VIDEO
    ]


def _context() -> ssl.SSLContext:
    """Of a certificate that nobody verifies: stock workers do not, and it is on loopback."""
    key, certificate = self_signed(["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        pair = Path(folder, "pair")
        pair.touch(mode=0o600)
        pair.write_bytes(key + certificate)
        context.load_cert_chain(pair)
    return context

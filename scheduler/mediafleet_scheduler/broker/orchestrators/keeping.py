"""Keeps the broker's models registered at the orchestrators of a file that may be edited."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import aiohttp
from aiohttp import web

from mediafleet_common.back_off import BackOff
from mediafleet_common.dial import Connector
from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.broker.files import Lines
from mediafleet_scheduler.broker.jobs import Jobs
from mediafleet_scheduler.broker.metrics import BrokerMetrics
from mediafleet_scheduler.broker.models import ModelEntry
from mediafleet_scheduler.broker.orchestrators.byoc import Capabilities
from mediafleet_scheduler.broker.orchestrators.calls import CallError, Calls
from mediafleet_scheduler.broker.orchestrators.discovery import discovery
from mediafleet_scheduler.broker.orchestrators.door import JobDoor, UnderWay
from mediafleet_scheduler.broker.orchestrators.entries import OrchestratorEntry
from mediafleet_scheduler.broker.orchestrators.live_runners import LiveRunners
from mediafleet_scheduler.broker.runner_api import RunnerApi
from mediafleet_scheduler.directory.directory import Directory

_LEAVE_SECONDS: Final = 3.0
"""For taking all registrations back."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OrchestratorTimes:
    """How registrations at orchestrators are kept up; times in seconds."""

    look_seconds: float = 1.0
    """A change of capacity is told within this time."""
    again_seconds: float = 30.0
    """An external capability is registered again so often: an orchestrator that has started anew
    tells nobody that it forgot it."""
    heartbeat_seconds: float = 5.0
    """Between two heartbeats of a live runner, where the orchestrator names no time."""
    first_pause_seconds: float = 1.0
    """Before an orchestrator that could not be told is called again; doubled each time after."""
    longest_pause_seconds: float = 30.0
    """And at most so long."""


@dataclass(frozen=True, slots=True)
class Options:
    """Where the broker registers, and as what."""

    directory: Directory[tuple[OrchestratorEntry, ...]]
    folder: Path
    """Relative secret files are in it."""
    url: str | None
    """Where orchestrators reach the broker's HTTP port; `None`: where it listens."""


class _Door(Protocol):
    """One way to be registered at an orchestrator."""

    async def look(self, models: Iterable[ModelEntry], now: float) -> None: ...

    async def leave(self) -> None: ...


class Orchestrators:
    """An async context manager: on leaving, all registrations are taken back."""

    def __init__(
        self,
        options: Options,
        times: OrchestratorTimes,
        jobs: Jobs,
        runner: RunnerApi,
        models: Callable[[], Iterable[ModelEntry]],
        token: Callable[[], str | None],
        metrics: BrokerMetrics,
    ) -> None:
        self.own_url = ""
        """Where the broker's HTTP port listens, when it does."""
        self._options = options
        self._times = times
        self._jobs = jobs
        self._models = models
        self._token = token
        self._metrics = metrics
        self._under_way = UnderWay()
        self._door = JobDoor(runner, self._under_way, self._keys, token)
        self._links: dict[OrchestratorEntry, asyncio.Task[None]] = {}
        self._stack = AsyncExitStack()

    def routes(self) -> list[web.RouteDef]:
        """Where the jobs come in, and `GET /discovery` of what there is."""
        return [*self._door.routes(), web.get("/discovery", self._discovery)]

    async def _discovery(self, request: web.Request) -> web.Response:
        url, dispatcher = self._url(), self._jobs.dispatcher
        caps = request.query.getall("caps", ())
        return web.json_response(discovery(url, self._models(), dispatcher, caps))

    def _url(self) -> str:
        return (self._options.url or self.own_url).rstrip("/")

    async def __aenter__(self) -> Self:
        connector = Connector(OWN_WORD, limit=64)
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
        )
        self._following = asyncio.create_task(self._options.directory.run(), name="orchestrators")
        self._options.directory.subscribe(self._changed)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._following.cancel()
        links = [*self._links.values(), self._following]
        self._changed(())
        await asyncio.gather(*links, return_exceptions=True)
        await self._stack.aclose()

    def _keys(self) -> list[str]:
        return [entry.key for entry in self._links]

    def _changed(self, entries: tuple[OrchestratorEntry, ...]) -> None:
        for entry in [each for each in self._links if each not in entries]:
            self._links.pop(entry).cancel()
        for entry in entries:
            if entry not in self._links:
                self._links[entry] = asyncio.create_task(self._keep(entry), name=entry.url)

    async def _keep(self, entry: OrchestratorEntry) -> None:
        secret = await self._secret(entry)
        calls = Calls(entry, secret, self._session, self._metrics, self._token)
        url, times = self._url(), self._times
        dispatcher = self._jobs.dispatcher
        capabilities = Capabilities(
            calls, url, self._token, dispatcher, self._under_way, times.again_seconds
        )
        runners = LiveRunners(
            calls,
            lambda: url + self._door.live_path(entry.key),
            dispatcher,
            times.heartbeat_seconds,
            capabilities.forget,
        )
        try:
            async with asyncio.TaskGroup() as doors:
                if entry.byoc:
                    doors.create_task(self._tend(entry, capabilities))
                if entry.live_runner:
                    doors.create_task(self._tend(entry, runners))
        finally:
            calls.hide()

    async def _tend(self, entry: OrchestratorEntry, door: _Door) -> None:
        try:
            await self._look_on(entry, door)
        finally:
            try:
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await door.leave()
            except (CallError, TimeoutError) as error:
                _log.warning("%s may go on counting on us: %s", entry.url, error)

    async def _secret(self, entry: OrchestratorEntry) -> Callable[[], str]:
        complained = False
        while True:
            try:
                return Lines(self._options.folder / entry.secret_file).first
            except CannotStartError as error:
                if not complained:
                    _log.error("%s: nothing is registered there: %s", entry.url, error)
                complained = True
            await asyncio.sleep(self._times.longest_pause_seconds)

    async def _look_on(self, entry: OrchestratorEntry, door: _Door) -> None:
        back_off = BackOff(self._times.first_pause_seconds, self._times.longest_pause_seconds)
        complaint: str | None = None
        while True:
            pause = self._times.look_seconds
            try:
                await door.look(self._models(), self._jobs.now())
            except CallError as error:
                pause = back_off.pause()
                if str(error) != complaint:
                    _log.warning("%s: %s; it is told again", entry.url, error)
                complaint = str(error)
            else:
                if complaint is not None:
                    _log.info("%s is told again what there is", entry.url)
                complaint = None
                back_off.reset()
            await asyncio.sleep(pause)

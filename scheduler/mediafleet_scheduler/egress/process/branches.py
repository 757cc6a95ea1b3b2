"""One desk, several Redises: a branch for each that a fleet names, opened and closed as they come.

A Redis that cannot be reached keeps its own branch waiting and no other. Fleets that differ in the
database number alone share a branch, since pub/sub knows no databases.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from redis.exceptions import RedisError

from mediafleet_common.api.egress_fleet import RedisSpec
from mediafleet_common.back_off import BackOff
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.core.egress.views import EgressView, Fleet
from mediafleet_scheduler.directory.publisher import Publisher
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.connections.answer import until_it_answers
from mediafleet_scheduler.egress.connections.opening import Connections
from mediafleet_scheduler.egress.jobs.lost_jobs import PostEvent, post_nothing
from mediafleet_scheduler.egress.ledger.store import StoreError
from mediafleet_scheduler.egress.process.branch import EgressService
from mediafleet_scheduler.psrpc.bus import Trouble
from mediafleet_scheduler.psrpc.redis_bus import RedisBus

Connect = Callable[[RedisSpec | None], Connections]
"""Connections to the Redis that a fleet names; `None`: the one the desk was started with."""

_FIRST_PAUSE_SECONDS: Final = 1.0

_log: Final = logging.getLogger(__name__)


class _Fleets(Publisher[EgressView]):
    """The part of the view that one branch serves: a directory of its own."""

    async def run(self) -> None:
        """Nothing to follow: the whole view is published by its owner."""


@dataclass(slots=True)
class Branch:
    """What serves one Redis."""

    spec: RedisSpec | None
    fleets: _Fleets = field(default_factory=_Fleets)
    service: EgressService | None = None
    bus: RedisBus | None = None
    trouble: str | None = None
    """Why it is not open, once it has tried."""
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def complaint(self) -> str | None:
        """Why it does not serve at this moment."""
        if self.service is None or self.bus is None:
            return self.trouble or "not open yet"
        return None if self.bus.connected else "no connection to Redis"


class Branches:
    """The branches that the fleets of a view need, as an async context manager."""

    def __init__(
        self,
        connect: Connect,
        metrics: EgressMetrics,
        settings: Settings,
        post: PostEvent = post_nothing,
        *,
        clock: Clock = SYSTEM,
        tries_again: bool = True,
    ) -> None:
        """`tries_again`: whether one that fails before it was open is not the end."""
        self._connect = connect
        self._metrics = metrics
        self._settings = settings
        self._post = post
        self.clock: Final = clock
        self._tries_again = tries_again
        self._branches: dict[str, Branch] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._any_open = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for key in tuple(self._branches):
            self._close(key)
        await asyncio.gather(*self._leaving, return_exceptions=True)

    @property
    def all(self) -> tuple[Branch, ...]:
        """The branches there are."""
        return tuple(self._branches.values())

    @property
    def services(self) -> list[EgressService]:
        """Those that are open."""
        return [branch.service for branch in self.all if branch.service is not None]

    def follow(self, view: EgressView) -> None:
        """These are the fleets from now on."""
        groups: dict[str, list[Fleet]] = {}
        for fleet in view.fleets:
            groups.setdefault(_server(fleet.redis), []).append(fleet)
        for key in self._branches.keys() - groups.keys():
            self._close(key)
        for key, fleets in groups.items():
            branch = self._branches.get(key)
            if branch is None:
                branch = self._branches[key] = Branch(fleets[0].redis)
                branch.task = asyncio.create_task(self._keep_open(branch))
            branch.fleets.publish(EgressView(tuple(fleets)))
        if not groups:
            self._any_open.set()

    async def opened(self) -> None:
        """Wait until each branch has opened or failed once."""
        await asyncio.gather(*(branch.opened.wait() for branch in self.all))

    async def any_open(self) -> None:
        """Wait until requests are taken somewhere, or there is nowhere to take them."""
        await self._any_open.wait()

    def _close(self, key: str) -> None:
        task = self._branches.pop(key).task
        if task is not None:
            task.cancel()
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _keep_open(self, branch: Branch) -> None:
        longest = max(_FIRST_PAUSE_SECONDS, self._settings.redis.max_pause_seconds)
        back_off = BackOff(_FIRST_PAUSE_SECONDS, longest)
        while True:
            pause = back_off.pause()
            try:
                await self._serve(branch)
            except (CannotStartError, StoreError, RedisError, OSError) as error:
                branch.trouble = str(error)
                self._metrics.branch_failures.inc()
                if not self._tries_again and not branch.opened.is_set():
                    return
                _log.error("%s; trying again in %.0f s", error, pause)
            finally:
                branch.service = branch.bus = None
                branch.opened.set()
            await asyncio.sleep(pause)

    async def _serve(self, branch: Branch) -> None:
        async with AsyncExitStack() as stack:
            connections = self._connect(branch.spec)
            stack.push_async_callback(connections.close)
            await until_it_answers(connections, self._settings.redis)
            bus = RedisBus(connections.pubsub, self._count, self.clock)
            await stack.enter_async_context(bus)
            service = EgressService(
                bus,
                connections.commands,
                branch.fleets,
                self._metrics,
                self._settings,
                connections.db,
                self._post,
                self.clock,
            )
            await stack.enter_async_context(service)
            branch.bus, branch.service, branch.trouble = bus, service, None
            branch.opened.set()
            self._any_open.set()
            _log.info("serving the fleets on Redis at %s", connections.where)
            await asyncio.Event().wait()

    def _count(self, trouble: Trouble) -> None:
        self._metrics.bus_troubles.labels(trouble).inc()


def _server(spec: RedisSpec | None) -> str:
    """The same for all that name one server."""
    if spec is None:
        return ""
    # With a name come the secrets of the fleet's pods.
    return f"ref {spec.ref}" if spec.ref is not None else spec.model_dump_json(exclude={"db"})

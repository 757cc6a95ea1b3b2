"""One desk, several Redises: a branch for each that a fleet names, opened and closed as they come.

A Redis that cannot be reached keeps its own branch waiting and no other. Fleets that differ in the
database number alone share a branch, since pub/sub knows no databases; so do those that spell one
server differently, once the echo tells: else the second would answer the first's requests, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Final, Self

from redis.exceptions import RedisError

from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.back_off import BackOff
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.core.egress.views import EgressView, Fleet
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.connections.answer import until_it_answers
from mediafleet_scheduler.egress.connections.echo import Echo
from mediafleet_scheduler.egress.connections.opening import Connections
from mediafleet_scheduler.egress.connections.turns import Inbox, Turns, measured_task
from mediafleet_scheduler.egress.jobs.lost_jobs import PostEvent, post_nothing
from mediafleet_scheduler.egress.ledger.script_calls import StoreError
from mediafleet_scheduler.egress.process.branch import EgressService
from mediafleet_scheduler.egress.process.branch_state import Branch, server_key
from mediafleet_scheduler.egress.process.kept_out import KeptOut, ReportRedis, report_nothing
from mediafleet_scheduler.psrpc.bus import Trouble
from mediafleet_scheduler.psrpc.redis_bus import RedisBus

Connect = Callable[[RedisSpec | None], Connections]
"""Connections to the Redis that a fleet names; `None`: the one the desk was started with."""
MayUse = Callable[[Fleet, RedisSpec | None], bool]
"""Whether a fleet may use a Redis under that name, which is the server that it names."""

_FIRST_PAUSE_SECONDS: Final = 1.0

_log: Final = logging.getLogger(__name__)


def any_may_use(fleet: Fleet, spec: RedisSpec | None) -> bool:
    """Where nobody says otherwise."""
    del fleet, spec
    return True


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
        may_use: MayUse = any_may_use,
        report: ReportRedis = report_nothing,
    ) -> None:
        """`tries_again`: whether one that fails before it was open is not the end."""
        self._connect = connect
        self._metrics = metrics
        self._settings = settings
        self._post = post
        self.clock: Final = clock
        self._tries_again = tries_again
        self._may_use = may_use
        self._kept_out = KeptOut(report)
        self._echo: Echo[Branch] = Echo(settings.redis.answer_seconds, settings.echo_wait_seconds)
        self._turns = Turns(settings.turns, self._count_rest, clock)
        self._branches: dict[str, Branch] = {}
        self._groups: dict[str, list[Fleet]] = {}
        self._keys: dict[str, tuple[Fleet, str]] = {}
        """The group of each fleet, by its key."""
        self._leaving: set[asyncio.Task[None]] = set()
        self._any_open = asyncio.Event()

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().set_task_factory(measured_task)
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
        await self._kept_out.close()
        asyncio.get_running_loop().set_task_factory(None)

    @property
    def all(self) -> tuple[Branch, ...]:
        """The branches there are, one for each server."""
        return tuple(branch for branch in self._branches.values() if branch.host is None)

    @property
    def services(self) -> list[EgressService]:
        """Those that are open."""
        return [branch.service for branch in self.all if branch.service is not None]

    def follow(self, view: EgressView) -> None:
        """These are the fleets from now on."""
        groups: dict[str, list[Fleet]] = {}
        before, self._keys = self._keys, {}
        for fleet in view.fleets:
            known = before.get(fleet.key)
            # Of many fleets few have changed since.
            key = known[1] if known and known[0] is fleet else server_key(fleet.redis)
            self._keys[fleet.key] = (fleet, key)
            groups.setdefault(key, []).append(fleet)
        self._groups = groups
        self._kept_out.keep_only({fleet.key for fleet in view.fleets})
        for key in self._branches.keys() - groups.keys():
            self._close(key)
        for key in groups.keys() - self._branches.keys():
            branch = self._branches[key] = Branch(key, groups[key][0].redis)
            branch.task = asyncio.create_task(self._keep_open(branch))
        self._publish()
        if not groups:
            self._any_open.set()

    async def opened(self) -> None:
        """Wait until each branch has opened or failed once."""
        await asyncio.gather(*(branch.opened.wait() for branch in self._branches.values()))

    async def any_open(self) -> None:
        """Wait until requests are taken somewhere, or there is nowhere to take them."""
        await self._any_open.wait()

    def _publish(self) -> None:
        """Tell each branch of its fleets, and of those of the branches that it is host to."""
        guests_of: dict[Branch | None, list[Fleet]] = {}
        for branch in self._branches.values():
            guests_of.setdefault(branch.host, []).extend(self._groups.get(branch.key, ()))
        for branch in self.all:
            fleets = list(self._groups.get(branch.key, ()))
            guests = guests_of.get(branch, [])
            let_in = [fleet for fleet in guests if self._may_use(fleet, branch.spec)]
            fleets = sorted([*fleets, *let_in], key=lambda fleet: fleet.key)
            branch.fleets.publish(EgressView(tuple(fleets)))
            self._kept_out.note((fleet for fleet in guests if fleet not in let_in), allowed=False)
            if branch.service is not None:
                self._kept_out.note(fleets, allowed=True)

    def _guests(self, branch: Branch) -> list[Branch]:
        return [each for each in self._branches.values() if each.host is branch]

    def _close(self, key: str) -> None:
        branch = self._branches.pop(key)
        self._hand_over(branch, None)
        if branch.task is not None:
            branch.task.cancel()
            self._leaving.add(branch.task)
            branch.task.add_done_callback(self._leaving.discard)

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
            else:
                pause = 0.0
            finally:
                branch.service = branch.bus = None
                branch.opened.set()
            await asyncio.sleep(pause)

    async def _serve(self, branch: Branch) -> None:
        """Until another branch does, or no other does any more."""
        branch.moved.clear()
        if branch.host is not None:
            branch.trouble = None
            branch.opened.set()
            await branch.moved.wait()
            return
        async with AsyncExitStack() as stack:
            connections = self._connect(branch.spec)
            stack.push_async_callback(connections.close)
            await until_it_answers(connections, self._settings.redis)
            tenant = stack.enter_context(self._turns.tenant(self._users(branch)))
            # A wake-up for each update of a job cost more than what is in it.
            bus, news = (
                RedisBus(
                    connections.pubsub,
                    self._count,
                    self.clock,
                    self._settings.bus,
                    lambda handle, hold: Inbox(tenant, handle, hold).put,
                    hears_late=late,
                )
                for late in (False, True)
            )
            for each in (bus, news):
                await stack.enter_async_context(each)
            await stack.enter_async_context(self._echo.listening(branch, bus))
            await self._find_host(branch)
            if branch.moved.is_set():
                return
            branch.idle.clear()
            stack.callback(branch.idle.set)
            stack.callback(lambda: self._hand_over(branch, branch.host))
            service = EgressService(
                bus,
                connections.commands,
                branch.fleets,
                self._metrics,
                self._settings,
                connections.db,
                self._post,
                self.clock,
                news,
                bus.hear_late,
            )
            await stack.enter_async_context(service)
            branch.bus, branch.service, branch.trouble = bus, service, None
            self._publish()
            branch.opened.set()
            self._any_open.set()
            _log.info("serving the fleets on Redis at %s", connections.where)
            while not branch.moved.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.echo_every_seconds):
                        await branch.moved.wait()
                await self._find_host(branch)

    async def _find_host(self, branch: Branch) -> None:
        """Which branch serves the server of one; where it is itself, others on it stop first."""
        same = {each for each in await self._echo.same(branch) if each.host is None}
        if branch.moved.is_set() or not same:
            return
        first = min({branch, *same}, key=lambda each: each.rank)
        if first is not branch:
            _log.info("Redis %s is the one of %s", branch.key, first.key)
            branch.move_to(first)
            self._hand_over(branch, first)
            return
        for each in same:
            each.move_to(branch)
            self._hand_over(each, branch)
        for each in same:
            await each.idle.wait()

    def _hand_over(self, branch: Branch, host: Branch | None) -> None:
        """Have another serve what one is host to; `None`: each tries by itself."""
        for guest in self._guests(branch):
            guest.move_to(host)
        self._publish()

    def _users(self, branch: Branch) -> str:
        """The namespaces that share a Redis: one tenant, since each may do there what it likes."""
        fleets = self._groups.get(branch.key, ())
        return ",".join(sorted({fleet.namespace for fleet in fleets}))

    def _count_rest(self, tenant: str, seconds: float) -> None:
        self._metrics.rests.labels(tenant).inc(seconds)

    def _count(self, trouble: Trouble) -> None:
        self._metrics.bus_troubles.labels(trouble).inc()

"""Fleets with engine native: asks their pods what they would bid, and reports whether they know the
mode. No metric has bids; they go over Redis.

Each look asks for a bid for a track and grants nobody, so nothing is started. All pods of a Redis
are on one topic, so what is found holds for all such fleets on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from livekit.protocol import egress as livekit
from redis.exceptions import RedisError

from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.api.names import PodState
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.serving.run import CannotStartError
from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.egress.placement.affinity import (
    knows_mode,
)
from mediafleet_scheduler.core.egress.views import EgressView, Fleet
from mediafleet_scheduler.core.psrpc.selection import UPSTREAM_START_EGRESS
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.connections.opening import Connections
from mediafleet_scheduler.egress.peers.foreign_bidders import FAMILY
from mediafleet_scheduler.egress.peers.forwarding import SERVICE, START_EGRESS
from mediafleet_scheduler.psrpc import channels, identifiers
from mediafleet_scheduler.psrpc.bus import Bus
from mediafleet_scheduler.psrpc.envelope import Bid, Request, decode, encode
from mediafleet_scheduler.psrpc.errors import BadMessageError
from mediafleet_scheduler.psrpc.redis_bus import RedisBus

ReportMode = Callable[[Fleet, bool], Awaitable[None]]
"""Reports of a fleet whether its pods know the mode."""

_LISTEN_SECONDS: Final = UPSTREAM_START_EGRESS.short_circuit_seconds
"""As long as livekit-server listens for a better bid: a fact of the protocol, not a setting."""

_log: Final = logging.getLogger(__name__)


async def report_nothing(fleet: Fleet, known: bool) -> None:
    """Report it nowhere."""


async def ask_for_bids(
    bus: Bus, seconds: float = _LISTEN_SECONDS, clock: Clock = SYSTEM
) -> list[float]:
    """What pods on the empty topic bid for a track that nobody will start; desks left out."""
    client_id, bids = identifiers.client_id(), []

    def take(data: bytes) -> None:
        try:
            bid = decode(data, Bid)
        except BadMessageError:
            return
        if not identifiers.is_of_family(bid.server_id, FAMILY):
            bids.append(bid.affinity)

    subscription = await bus.subscribe(channels.bids(SERVICE, client_id), take)
    try:
        track = livekit.TrackEgressRequest().SerializeToString()
        wanted = StartEgressRequest(egress_id=f"EG_{client_id}", track=track)
        now = clock.unix_ns()
        request = Request(
            identifiers.request_id(),
            client_id,
            now,
            now + int((seconds + 1) * 1e9),
            wanted.SerializeToString(),
        )
        bus.publish(channels.request(SERVICE, START_EGRESS), encode(request))
        await asyncio.sleep(seconds)
    finally:
        await subscription.close()
    return bids


class NativeFleets:
    """Looks at such fleets now and then, as an async context manager."""

    def __init__(
        self,
        connect: Callable[[RedisSpec | None], Connections],
        report: ReportMode,
        settings: Settings,
        clock: Clock = SYSTEM,
    ) -> None:
        self._connect = connect
        self._report = report
        self._settings = settings
        self._clock = clock
        self._fleets: tuple[Fleet, ...] = ()
        self._reported: dict[str, bool] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def follow(self, view: EgressView) -> None:
        """These are the fleets from now on."""
        self._fleets = view.native
        keys = {each.key for each in view.native}
        self._reported = {key: known for key, known in self._reported.items() if key in keys}
        if view.native and self._task is None:
            self._task = asyncio.create_task(self._look_forever(), name="native fleets")

    async def _look_forever(self) -> None:
        while True:
            for group in self._groups():
                try:
                    async with asyncio.timeout(self._settings.look_at_bids_timeout_seconds):
                        await self._look(group)
                except (TimeoutError, CannotStartError, RedisError, OSError) as error:
                    _log.warning("bids for %s were not heard: %s", group[0].key, error)
            await asyncio.sleep(self._settings.look_at_bids_seconds)

    def _groups(self) -> list[list[Fleet]]:
        """The fleets that have pods, by Redis."""
        groups: list[list[Fleet]] = []
        for fleet in self._fleets:
            if not any(worker.state is PodState.READY for worker in fleet.workers):
                continue
            for group in groups:
                if _same(group[0].redis, fleet.redis):
                    group.append(fleet)
                    break
            else:
                groups.append([fleet])
        return groups

    async def _look(self, fleets: list[Fleet]) -> None:
        async with AsyncExitStack() as stack:
            connections = self._connect(fleets[0].redis)
            stack.push_async_callback(connections.close)
            bus = RedisBus(connections.pubsub, clock=self._clock, times=self._settings.bus)
            await stack.enter_async_context(bus)
            bids = await ask_for_bids(bus, clock=self._clock)
        for fleet in fleets:
            known = knows_mode(bids, fleet.placement.mode)
            if known is None or self._reported.get(fleet.key) is known:
                continue
            if not known:
                _log.warning("pods of %s do not know affinity_mode: they pack", fleet.key)
            await self._report(fleet, known)
            self._reported[fleet.key] = known


def _same(one: RedisSpec | None, other: RedisSpec | None) -> bool:
    return one is not None and other is not None and one.same_server(other)

"""Reads the load of nodes from their metrics at intervals."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final

from mediafleet_common.api.names import PodState
from mediafleet_common.api.pool.advertise import Order
from mediafleet_common.api.pool.orchestrator_pool import LoadSource
from mediafleet_common.formats.reach import Reach
from mediafleet_common.keyed_tasks import KeyedTasks
from mediafleet_common.probes.http_client import PINGS_TOO, Failure, NoLoad, client, poll
from mediafleet_common.probes.load import Load, Source
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.advertise.settings import LoadTimes
from mediafleet_scheduler.core.advertise.listing import NodeKey, node_key
from mediafleet_scheduler.core.advertise.ordering import Room
from mediafleet_scheduler.core.advertise.views import PoolView
from mediafleet_scheduler.core.scaling.away import is_away

_KEPT_READINGS: Final = 3
"""A load that could not be read anew for so many intervals is unknown."""
_SOURCES: Final = {each: Source(each.value) for each in LoadSource}

Read = Callable[[str, Source], Awaitable[Load | NoLoad]]
"""The load that the metrics at a URL tell; never raises but for cancellation."""


class Loads:
    """One task per node that has metrics and is or was ready; the results are in `rooms`.

    `on_change` is called when a room is another one; `on_reading` at each reading of a node.
    """

    def __init__(
        self,
        metrics: AdvertiseMetrics,
        on_change: Callable[[], None],
        on_reading: Callable[[NodeKey], None],
        read: Read | None = None,
        times: LoadTimes | None = None,
    ) -> None:
        self._times = times or LoadTimes()
        self._metrics = metrics
        self._on_change = on_change
        self._on_reading = on_reading
        self._read = read
        self._stack = AsyncExitStack()
        self._view: PoolView | None = None
        self._rooms: dict[NodeKey, Room] = {}
        self._tasks = KeyedTasks[tuple[NodeKey, str]]()

    @property
    def rooms(self) -> Mapping[NodeKey, Room]:
        """By node; only those whose load is known are there."""
        return self._rooms

    def follow(self, view: PoolView) -> None:
        """Read the nodes of a pool that are or were ready; one that starts has no load."""
        if self._view is not None and self._view.load is not view.load:
            self._rooms.clear()
        self._view = view
        wanted = {
            (node_key(node), node.metrics_url)
            for node in view.nodes
            if (node.state is not PodState.PENDING or is_away(node)) and node.metrics_url
        }
        for node, _ in self._tasks.keep_only(wanted):
            self._rooms.pop(node, None)
        for node, url in wanted - self._tasks.keys():
            self._tasks.start((node, url), self._read_forever(node, url))

    async def close(self) -> None:
        """Stop reading."""
        await self._tasks.close()
        await self._stack.aclose()

    async def _read_forever(self, node: NodeKey, url: str) -> None:
        failures = 0
        while True:
            room = await self._read_once(url)
            failures = 0 if room is not None else failures + 1
            if room is not None:
                self._on_reading(node)
            if room is not None or failures >= _KEPT_READINGS:
                self._take(node, room)
            await asyncio.sleep(self._interval() * random.uniform(0.8, 1.0))

    def _take(self, node: NodeKey, room: Room | None) -> None:
        if self._rooms.get(node) == room:
            return
        if room is None:
            del self._rooms[node]
        else:
            self._rooms[node] = room
        self._on_change()

    async def _read_once(self, url: str) -> Room | None:
        view = self._view
        if view is None:
            return None
        if self._read is None:
            self._read = await self._polling(view.reaches.pods)
        try:
            load = await self._read(url, _SOURCES[view.load])
        except (ValueError, OverflowError):
            # A gauge may be NaN or infinite, which is no number of sessions.
            load = NoLoad(Failure.UNREADABLE, "no number of sessions")
        if isinstance(load, NoLoad):
            self._metrics.load_probes.labels(load.why.value).inc()
            return None
        self._metrics.load_probes.labels("ok" if load.jobs is not None else "absent").inc()
        if load.jobs is None:
            return None
        capacity = view.sessions_max if load.capacity is None else load.capacity
        return Room(load.jobs, capacity)

    async def _polling(self, reach: Reach) -> Read:
        session = client(PINGS_TOO, reach)
        self._stack.push_async_callback(session.close)

        async def read(url: str, source: Source) -> Load | NoLoad:
            return await poll(session, url, source)

        return read

    def _interval(self) -> float:
        order = self._view.advertise.order if self._view else Order.FIXED
        eager = order in (Order.LEAST_LOADED, Order.BY_GATEWAY)
        times = self._times
        pause = times.eager_seconds if eager else times.lazy_seconds
        return max(pause, len(self._tasks) / times.readings_per_second)

"""Read the pods' load from their metrics: bounded in time and size, with back-off, never fatal.

What cannot be read is unknown; placing goes on from the ledger.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import aiohttp

from mediafleet_common.api.names import PodState
from mediafleet_common.back_off import BackOff
from mediafleet_common.clock import Clock
from mediafleet_common.formats.reach import OWN_WORD, PODS, Reach
from mediafleet_common.keyed_tasks import KeyedTasks
from mediafleet_common.probes import http_client
from mediafleet_common.probes.http_client import Failure, NoLoad
from mediafleet_common.probes.load import Load, Source
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.core.egress.views import Fleet
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.places.pods import Pods

_log: Final = logging.getLogger(__name__)
_Asked = tuple[str, str, Reach]
"""Uid, URL, and which addresses that may lead to: an entry of a file is its user's own word."""
_PATIENCE: Final = 2
"""So many readings in a row may fail before a pod is asked less often: what it runs may well have
changed, and without readings its jobs count with all that they may need."""


class Scraper:
    """Reads the load of every pod that has a metrics URL, as an async context manager."""

    def __init__(
        self,
        pods: Pods,
        metrics: EgressMetrics,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._pods = pods
        self._metrics = metrics
        self._settings = settings
        self._tasks = KeyedTasks[_Asked]()
        self._read_once: dict[_Asked, asyncio.Event] = {}
        self._wake: dict[str, asyncio.Event] = {}
        """By uid of each pod that did not answer last: set to ask it at once."""
        self._ready: frozenset[str] = frozenset()
        self._sessions: dict[Reach, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Self:
        self._sessions = {reach: http_client.client(reach=reach) for reach in (PODS, OWN_WORD)}
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._tasks.close()
        for session in self._sessions.values():
            await session.close()

    def follow(self, fleets: Sequence[Fleet]) -> None:
        """These are the pods from now on."""
        wanted = {
            (worker.uid, worker.metrics_url, PODS if fleet.namespace else OWN_WORD)
            for fleet in fleets
            for worker in fleet.workers
            if worker.metrics_url is not None
        }
        ready = frozenset(
            worker.uid
            for fleet in fleets
            for worker in fleet.workers
            if worker.state is PodState.READY
        )
        for uid in ready - self._ready:
            self.wake(uid)
        self._ready = ready
        for key in self._tasks.keep_only(wanted):
            del self._read_once[key]
        for key in wanted - self._tasks.keys():
            self._read_once[key] = asyncio.Event()
            self._tasks.start(key, self._forever(key), f"scrape {key[1]}")

    def wake(self, uid: str) -> None:
        """A pod shows signs of life: ask it at once if it did not answer last."""
        if event := self._wake.get(uid):
            event.set()

    async def first_round(self) -> None:
        """Wait until each pod was asked once."""
        await asyncio.gather(*(event.wait() for event in self._read_once.values()))

    async def _forever(self, key: _Asked) -> None:
        uid, url, reach = key
        settings = self._settings
        pause, failures = settings.scrape_every_seconds, 0
        back_off = BackOff(2 * pause, settings.scrape_max_back_off_seconds)
        asked = self._read_once[key]
        complained = ""
        while True:
            reading = self._of(uid, await self._ask(url, reach))
            if isinstance(reading, Load):
                self._metrics.scrapes.labels("ok").inc()
                if complained:
                    _log.info("load of %s is known again", printable(url))
                complained = ""
                pause, failures = settings.scrape_every_seconds, 0
                back_off.reset()
                self._take(uid, reading)
            else:
                self._metrics.scrapes.labels(reading.why).inc()
                if complained != (complained := f"{reading.why}: {printable(reading.detail)}"):
                    _log.warning("load of %s is unknown: %s", printable(url), complained)
                failures += 1
                if reading.why is Failure.UNREACHABLE:
                    self._pods.lives.unreachable(uid)
                if failures > _PATIENCE:
                    pause = back_off.pause()
            asked.set()
            await self._pause(uid, pause * random.uniform(0.9, 1.1), failing=failures > 0)

    async def _pause(self, uid: str, seconds: float, *, failing: bool) -> None:
        if not failing:
            await asyncio.sleep(seconds)
            return
        event = self._wake[uid] = asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._wake.pop(uid, None)

    async def _ask(self, url: str, reach: Reach) -> Load | NoLoad:
        session = self._sessions.get(reach)
        if session is None:
            raise RuntimeError("the scraper is not open")
        timeout = self._settings.scrape_timeout_seconds
        load = await http_client.poll(session, url, Source.EGRESS, timeout)
        if isinstance(load, Load) and load.jobs is None:
            return NoLoad(Failure.UNREADABLE, "no metric of an egress worker in it")
        return load

    def _of(self, uid: str, reading: Load | NoLoad) -> Load | NoLoad:
        """What was told, if it is of this worker: its metrics carry its psrpc topic."""
        known = self._pods.by_uid.get(uid)
        if isinstance(reading, NoLoad) or known is None or reading.cluster_id is None:
            return reading
        wanted = known[1].cluster_id
        if reading.cluster_id == wanted:
            return reading
        return NoLoad(
            Failure.UNREADABLE,
            f"these are the metrics of cluster_id {reading.cluster_id}, and {known[1].name} has "
            f"{wanted}: correct its `metrics` or its `cluster_id`",
        )

    def _take(self, uid: str, load: Load) -> None:
        if uid in self._pods.by_uid:
            self._pods.read_load(uid, load, self._clock.unix())

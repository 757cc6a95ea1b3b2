"""Wait for room: the line in Redis, and what a request does in it.

A request for which no pod has room waits as long as its fleet's queue allows; then it is refused,
and its place is kept for the client's own retry. The rules of the line are in core/egress/queue.py.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Final

from mediafleet_common.back_off import BackOff
from mediafleet_common.clock import Clock
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.placement.choice import NoCapacity
from mediafleet_scheduler.core.egress.queue import Waiting, of_fleet
from mediafleet_scheduler.core.egress.views import Fleet
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.ledger.script_calls import StoreError
from mediafleet_scheduler.egress.ledger.store import Claim
from mediafleet_scheduler.egress.ledger.writer import LedgerWriter
from mediafleet_scheduler.egress.places.placement import Placer
from mediafleet_scheduler.egress.places.pods import label
from mediafleet_scheduler.egress.places.request import AlreadyKnown, Found, PlacementRequest

_log: Final = logging.getLogger(__name__)


class Queue:
    """Takes places, and lets requests wait for them."""

    def __init__(
        self,
        ledger: Ledger,
        placer: Placer,
        ledger_writer: LedgerWriter,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._placer = placer
        self._ledger_writer = ledger_writer
        self._settings = settings
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._waiting = 0
        self._looking: asyncio.Task[None] | None = None

    def since(self, egress_id: str, now: float) -> float:
        """From when a request counts in the line: a retry keeps its place."""
        entry = self._ledger.waiting.get(egress_id)
        return entry.since if entry is not None and entry.counts(now) else now

    async def place(self, wanted: PlacementRequest) -> Found:
        """Take a place, now or when there is room.

        Raises:
            StoreError: Redis could not be asked.
        """
        found = await self._placer.place(wanted)
        if not isinstance(found, NoCapacity):
            return found
        now = self._clock.unix()
        fleet, until = found.queue, wanted.wait_until
        if fleet is not None:
            until = min(until, wanted.came + fleet.queue.max_wait_seconds)
        if fleet is None or not wanted.wait_until or self._is_full(fleet, wanted, now):
            # Its own job may be what fills the pods.
            return await self._known(wanted) or found
        entry = _entry(wanted, fleet, found.cores, until + self._settings.keep_place_seconds)
        later: Found | None = None
        if until > now:
            later = await self._known(wanted, entry) or await self._wait(wanted, until - now, fleet)
        if later is not None and not isinstance(later, NoCapacity):
            return later
        self._keep(
            replace(entry, keep_until=self._clock.unix() + self._settings.keep_place_seconds)
        )
        return found

    def drop_overdue(self, now: float) -> None:
        """Put out of the line what a desk that died left there."""
        for entry in tuple(self._ledger.waiting.values()):
            if not entry.counts(now - self._settings.left_behind_seconds):
                self._ledger_writer.note(self._ledger_writer.store.left(entry))

    async def close(self) -> None:
        """Nobody waits any more: those who do are refused, and another desk has their retry."""
        self._placer.give_up_waiting()
        for timer in self._timers.values():
            timer.cancel()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    def _is_full(self, fleet: Fleet, wanted: PlacementRequest, now: float) -> bool:
        if wanted.request.egress_id in self._ledger.waiting:
            return False
        waiting = of_fleet(self._ledger.waiting.values(), fleet.key, now)
        return len(waiting) >= fleet.queue.max_length

    async def _known(
        self, wanted: PlacementRequest, entry: Waiting | None = None
    ) -> AlreadyKnown | None:
        """What is known of its id; with an entry it waits from now on if nothing is."""
        store = self._ledger_writer.store
        asked = await (store.wait(entry) if entry else store.find(wanted.request.egress_id))
        record = asked.existing if asked is not None else None
        if asked is None or record is None or record.job.token == wanted.token:
            return None
        return AlreadyKnown(record, asked.status is Claim.ENDED)

    async def _wait(self, wanted: PlacementRequest, seconds: float, fleet: Fleet) -> Found | None:
        self._waiting += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="queue")
        began = self._clock.monotonic()
        try:
            return await self._placer.place_later(wanted, seconds)
        finally:
            self._waiting -= 1
            waited = self._ledger_writer.metrics.queue_seconds.labels(label(fleet))
            waited.observe(self._clock.monotonic() - began)

    async def _look(self) -> None:
        """While somebody waits: see what other desks do, and what room time alone brings."""
        every = pause = self._settings.queue_look_seconds
        back_off = BackOff(2 * every, self._settings.queue_max_pause_seconds)
        while self._waiting:
            await asyncio.sleep(pause)
            try:
                await self._ledger_writer.store.sync()
                pause = every
                back_off.reset()
            except StoreError as error:
                self._ledger_writer.metrics.ledger_errors.labels("sync").inc()
                _log.warning("%s", error)
                pause = back_off.pause()
            self._placer.wake()

    def _keep(self, entry: Waiting) -> None:
        """Keep the place of a refused request for its retry."""
        self._ledger_writer.note(self._ledger_writer.store.kept(entry))
        if before := self._timers.pop(entry.egress_id, None):
            before.cancel()
        loop = asyncio.get_running_loop()
        self._timers[entry.egress_id] = loop.call_later(
            self._settings.keep_place_seconds, self._drop, entry
        )

    def _drop(self, entry: Waiting) -> None:
        del self._timers[entry.egress_id]
        if self._ledger.waiting.get(entry.egress_id) == entry:
            self._ledger_writer.note(self._ledger_writer.store.left(entry))
            self._placer.wake()


def _entry(wanted: PlacementRequest, fleet: Fleet, cores: float, until: float) -> Waiting:
    """An entry that outlives its wait, should its desk die, until the client asks again."""
    request = wanted.request
    return Waiting(
        egress_id=request.egress_id,
        fleet=fleet.key,
        kind=request.kind,
        cores=cores,
        room=request.room,
        since=wanted.since,
        until=until,
    )

"""Take a place for a job: choose on the local copy, claim in Redis, choose again if that moved.

The places that are new at the same time are claimed by one call, so that a burst costs a few
round trips and not one for each job.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Sequence
from typing import Final

from mediafleet_common.clock import Clock
from mediafleet_scheduler.core.egress.placement.choice import (
    MOST_AT_ONCE,
    Chooser,
    Full,
    NoCapacity,
    Picked,
)
from mediafleet_scheduler.core.egress.placement.modes import Refusal
from mediafleet_scheduler.core.egress.requests import Request
from mediafleet_scheduler.egress.ledger.script_calls import StoreError
from mediafleet_scheduler.egress.ledger.store import Claim, Claimed, Store
from mediafleet_scheduler.egress.places.request import AlreadyKnown, Found, PlacementRequest

_RACES: Final = 50
"""Other desks may be faster so many times before a claim is given up."""


class Placer:
    """Takes places, one after the other; those that are new together in one call."""

    def __init__(self, chooser: Chooser, store: Store, clock: Clock) -> None:
        self._chooser = chooser
        self._clock = clock
        self._store = store
        self._new: collections.deque[PlacementRequest] = collections.deque()
        self._patient: dict[str, PlacementRequest] = {}
        self._woken = False
        self._news = 0
        self._full: Full = {}
        """While somebody waits: what the last look found to fit nowhere, until there is news."""
        self._working: asyncio.Task[None] | None = None

    async def place(self, wanted: PlacementRequest) -> Found:
        """Take a place on the best pod of the first fleet that has room.

        Raises:
            StoreError: Redis could not be asked, or others were always faster.
        """
        self._new.append(wanted)
        self._work_soon()
        return await wanted.found

    async def place_later(self, wanted: PlacementRequest, seconds: float) -> Found | None:
        """Take a place as soon as there is room; `None`: there was none in time.

        Raises:
            StoreError: Redis could not be asked, or others were always faster.
        """
        wanted.again()
        wanted.waited = True
        self._patient[wanted.request.egress_id] = wanted
        if wanted.news != self._news:
            self.wake()
        try:
            await asyncio.wait({wanted.found}, timeout=seconds)
            # A place that Redis is being asked for may be ours by now.
            return await wanted.found if wanted.claiming or wanted.found.done() else None
        finally:
            self._patient.pop(wanted.request.egress_id, None)

    def give_up_waiting(self) -> None:
        """Nobody waits here any more; those who do are told that there is no room."""
        for each in self._patient.values():
            each.answer(NoCapacity(Refusal.NO_CAPACITY, 0.0))

    def could(self, request: Request) -> bool:
        """Whether there is room for a request now, as far as is known."""
        return self._chooser.could(request, self._clock.unix())

    def wake(self) -> None:
        """There is news: there may be room for those who wait."""
        self._news += 1
        self._full = {}
        if self._patient:
            self._woken = True
            self._work_soon()

    def _work_soon(self) -> None:
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work(), name="placing")

    async def _work(self) -> None:
        while self._new or self._woken:
            self._woken = False
            count = min(len(self._new), MOST_AT_ONCE)
            new = [self._new.popleft() for _ in range(count)]
            try:
                await self._grant([each for each in new if not self._has_no_room(each)])
            except StoreError as error:
                for each in new:
                    each.fail(error)
            except Exception as error:
                for each in [*new, *self._patient.values()]:
                    each.fail(StoreError(f"placing failed: {type(error).__name__}"))
                raise

    def _has_no_room(self, wanted: PlacementRequest) -> bool:
        """Whether a look is spared: the line is long in a burst, and nothing has changed."""
        found = self._full.get(self._chooser.key(wanted.request)) if not wanted.excluded else None
        if found is not None:
            self._refuse(wanted, found)
        return found is not None

    def _refuse(self, wanted: PlacementRequest, found: NoCapacity) -> None:
        wanted.news = self._news
        wanted.answer(found)

    async def _grant(self, new: Sequence[PlacementRequest]) -> None:
        for _ in range(_RACES):
            picked = self._picked(new)
            if not picked.chosen:
                return
            for each, _ in picked.chosen:
                each.claiming = True
            try:
                results = await self._store.claim([(place.job, "") for _, place in picked.chosen])
            except BaseException as error:
                self._chooser.undo(picked, picked.chosen)
                for each, _ in picked.chosen:
                    if isinstance(error, StoreError):
                        each.fail(error)
                raise
            finally:
                for each, _ in picked.chosen:
                    each.claiming = False
            if results is not None:
                self._answer(picked, results)
                return
            self._chooser.undo(picked, picked.chosen)
        raise StoreError("others were always faster")

    def _picked(self, new: Sequence[PlacementRequest]) -> Picked[PlacementRequest]:
        """Places that were chosen; who has none is told, unless it waits already."""
        open_ = [each for each in new if not each.found.done()]
        patient = {key: each for key, each in self._patient.items() if not each.found.done()}
        picked = self._chooser.pick(open_, patient, self._clock.unix())
        for each, found in picked.unplaced:
            if each.request.egress_id not in self._patient:
                self._refuse(each, found)
        if self._patient:
            self._full = {} if picked.chosen else picked.full
            self._woken |= picked.more
        return picked

    def _answer(self, picked: Picked[PlacementRequest], results: Sequence[Claimed]) -> None:
        for (each, place), result in zip(picked.chosen, results, strict=True):
            if result.existing is None:
                each.answer(place)
            else:
                self._chooser.undo(picked, [(each, place)])
                each.answer(AlreadyKnown(result.existing, result.status is Claim.ENDED))

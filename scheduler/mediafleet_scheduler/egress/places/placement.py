"""Take a place for a job: choose on the local copy, claim in Redis, choose again if that moved.

The places that are wanted at the same time are claimed by one call, so that a burst costs a few
round trips and not one for each job.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Sequence
from typing import Final

from mediafleet_scheduler.core.egress.placement.modes import Refusal
from mediafleet_scheduler.core.egress.requests import Request
from mediafleet_scheduler.egress.ledger.store import Claim, Claimed, Store, StoreError
from mediafleet_scheduler.egress.places.choice import (
    MOST_AT_ONCE,
    Chooser,
    Found,
    Full,
    Known,
    Nowhere,
    Picked,
    Wish,
)

_RACES: Final = 50
"""Other desks may be faster so many times before a claim is given up."""


class Placer:
    """Takes places, one after the other; those that are wanted together in one call."""

    def __init__(self, chooser: Chooser, store: Store) -> None:
        self._chooser = chooser
        self._store = store
        self._wishes: collections.deque[Wish] = collections.deque()
        self._patient: dict[str, Wish] = {}
        self._woken = False
        self._news = 0
        self._full: Full = {}
        """While somebody waits: what the last look found to fit nowhere, until there is news."""
        self._working: asyncio.Task[None] | None = None

    async def place(self, wish: Wish) -> Found:
        """Take a place on the best pod of the first fleet that has room.

        Raises:
            StoreError: Redis could not be asked, or others were always faster.
        """
        self._wishes.append(wish)
        self._work_soon()
        return await wish.found

    async def place_later(self, wish: Wish, seconds: float) -> Found | None:
        """Take a place as soon as there is room; `None`: there was none in time.

        Raises:
            StoreError: Redis could not be asked, or others were always faster.
        """
        wish.again()
        wish.waited = True
        self._patient[wish.request.egress_id] = wish
        if wish.news != self._news:
            self.wake()
        try:
            await asyncio.wait({wish.found}, timeout=seconds)
            # A place that Redis is being asked for may be ours by now.
            return await wish.found if wish.claiming or wish.found.done() else None
        finally:
            self._patient.pop(wish.request.egress_id, None)

    def give_up_waiting(self) -> None:
        """Nobody waits here any more; those who do are told that there is no room."""
        for wish in self._patient.values():
            wish.answer(Nowhere(Refusal.NO_CAPACITY, 0.0))

    def could(self, request: Request) -> bool:
        """Whether there is room for a request now, as far as is known."""
        return self._chooser.could(request)

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
        while self._wishes or self._woken:
            self._woken = False
            count = min(len(self._wishes), MOST_AT_ONCE)
            wishes = [self._wishes.popleft() for _ in range(count)]
            try:
                await self._grant([wish for wish in wishes if not self._has_no_room(wish)])
            except StoreError as error:
                for wish in wishes:
                    wish.fail(error)
            except Exception as error:
                for wish in [*wishes, *self._patient.values()]:
                    wish.fail(StoreError(f"placing failed: {type(error).__name__}"))
                raise

    def _has_no_room(self, wish: Wish) -> bool:
        """Whether a look is spared: the line is long in a burst, and nothing has changed."""
        found = self._full.get(self._chooser.key(wish.request)) if not wish.excluded else None
        if found is not None:
            self._refuse(wish, found)
        return found is not None

    def _refuse(self, wish: Wish, found: Nowhere) -> None:
        wish.news = self._news
        wish.answer(found)

    async def _grant(self, wishes: Sequence[Wish]) -> None:
        for _ in range(_RACES):
            picked = self._picked(wishes)
            if not picked.chosen:
                return
            for wish, _ in picked.chosen:
                wish.claiming = True
            try:
                results = await self._store.claim([(place.job, "") for _, place in picked.chosen])
            except BaseException as error:
                self._chooser.undo(picked, picked.chosen)
                for wish, _ in picked.chosen:
                    if isinstance(error, StoreError):
                        wish.fail(error)
                raise
            finally:
                for wish, _ in picked.chosen:
                    wish.claiming = False
            if results is not None:
                self._answer(picked, results)
                return
            self._chooser.undo(picked, picked.chosen)
        raise StoreError("others were always faster")

    def _picked(self, wishes: Sequence[Wish]) -> Picked:
        """Places that were chosen; who has none is told, unless it waits already."""
        picked = self._chooser.pick(wishes, self._patient)
        for wish, found in picked.unplaced:
            if wish.request.egress_id not in self._patient:
                self._refuse(wish, found)
        if self._patient:
            self._full = {} if picked.chosen else picked.full
            self._woken |= picked.more
        return picked

    def _answer(self, picked: Picked, results: Sequence[Claimed]) -> None:
        for (wish, place), result in zip(picked.chosen, results, strict=True):
            if result.existing is None:
                wish.answer(place)
            else:
                self._chooser.undo(picked, [(wish, place)])
                wish.answer(Known(result.existing, result.status is Claim.ENDED))

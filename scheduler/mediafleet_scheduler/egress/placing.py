"""Take a place for a job: choose on the local copy, claim in Redis, choose again if that moved.

The places that are wanted at the same time are claimed by one call, so that a burst costs a few
round trips and not one for each job.
"""

from __future__ import annotations

import asyncio
import collections
import random
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mediafleet_scheduler.core.accounts import Job
from mediafleet_scheduler.core.capacity import ever_fits
from mediafleet_scheduler.core.ledger import Ledger
from mediafleet_scheduler.core.placement import Refusal, choose, why_nowhere
from mediafleet_scheduler.core.requests import Request
from mediafleet_scheduler.core.resources import need_of
from mediafleet_scheduler.directory.views import Fleet
from mediafleet_scheduler.egress.pods import Pods
from mediafleet_scheduler.egress.records import Record
from mediafleet_scheduler.egress.store import Claim, Claimed, Store, StoreError

_RACES: Final = 50
"""Other desks may be faster so many times before a claim is given up."""
_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Placed:
    """A place is taken."""

    job: Job
    fleet: Fleet


@dataclass(frozen=True, slots=True)
class Known:
    """The egress id was used before: by a job that runs, may run or is over."""

    record: Record
    over: bool


@dataclass(frozen=True, slots=True)
class Nowhere:
    """No pod has room."""

    reason: Refusal
    cores: float


Found = Placed | Known | Nowhere


@dataclass(frozen=True, slots=True)
class _Wish:
    """A place that somebody waits for."""

    request: Request
    token: str
    excluded: Collection[str]
    found: asyncio.Future[Found]

    def answer(self, found: Found) -> None:
        if not self.found.done():
            self.found.set_result(found)

    def fail(self, error: StoreError) -> None:
        if not self.found.done():
            self.found.set_exception(error)


class Placer:
    """Takes places, one after the other; those that are wanted together in one call."""

    def __init__(self, pods: Pods, ledger: Ledger, store: Store, chance: random.Random) -> None:
        self._pods = pods
        self._ledger = ledger
        self._store = store
        self._chance = chance
        self._wishes: collections.deque[_Wish] = collections.deque()
        self._working: asyncio.Task[None] | None = None

    async def place(self, request: Request, token: str, excluded: Collection[str] = ()) -> Found:
        """Take a place on the best pod of the first fleet that has room.

        `excluded` are uids of pods that will not have it.

        Raises:
            StoreError: Redis could not be asked, or others were always faster.
        """
        found: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._wishes.append(_Wish(request, token, excluded, found))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work(), name="placing")
        place = await found
        if isinstance(place, Nowhere):
            # Its own job may be what fills the pods.
            known = await self._store.find(request.egress_id)
            record = known.existing if known is not None else None
            if known and record and record.job.token != token:
                return Known(record, known.status is Claim.ENDED)
        return place

    async def _work(self) -> None:
        while self._wishes:
            count = min(len(self._wishes), _BATCH)
            wishes = [self._wishes.popleft() for _ in range(count)]
            try:
                await self._grant(wishes)
            except StoreError as error:
                for wish in wishes:
                    wish.fail(error)
            except Exception as error:
                for wish in wishes:
                    wish.fail(StoreError(f"placing failed: {type(error).__name__}"))
                raise

    async def _grant(self, wishes: Sequence[_Wish]) -> None:
        for _ in range(_RACES):
            waiting = [wish for wish in wishes if not wish.found.done()]
            before = {
                w.request.egress_id: self._ledger.jobs.get(w.request.egress_id) for w in waiting
            }
            chosen: list[tuple[_Wish, Placed]] = []
            for wish in waiting:
                place = self._choose(wish)
                if isinstance(place, Placed):
                    # Those that follow in this batch choose beside it.
                    self._ledger.put(place.job)
                    chosen.append((wish, place))
                else:
                    wish.answer(place)
            if not chosen:
                return
            try:
                results = await self._store.claim([(place.job, "") for _, place in chosen])
            except BaseException:
                self._undo(chosen, before)
                raise
            if results is not None:
                self._answer(chosen, results, before)
                return
            self._undo(chosen, before)
        raise StoreError("others were always faster")

    def _answer(
        self,
        chosen: Sequence[tuple[_Wish, Placed]],
        results: Sequence[Claimed],
        before: Mapping[str, Job | None],
    ) -> None:
        for (wish, place), result in zip(chosen, results, strict=True):
            if result.existing is None:
                wish.answer(place)
            else:
                self._undo([(wish, place)], before)
                wish.answer(Known(result.existing, result.status is Claim.ENDED))

    def _undo(
        self, chosen: Sequence[tuple[_Wish, Placed]], before: Mapping[str, Job | None]
    ) -> None:
        """Take back what was only chosen; what Redis told meanwhile stays."""
        for _, place in chosen:
            if self._ledger.jobs.get(place.job.egress_id) == place.job:
                self._ledger.drop(place.job.egress_id)
                if old := before[place.job.egress_id]:
                    self._ledger.put(old)

    def _choose(self, wish: _Wish) -> Found:
        """The best place on the local copy."""
        request, now = wish.request, time.time()
        fleets = self._pods.accepting(request.kind, request.room)
        needs = [need_of(request.kind, each.placement, request.estimated_cores) for each in fleets]
        for fleet, need in zip(fleets, needs, strict=True):
            pods = self._pods.candidates(fleet, now, wish.excluded)
            pod = choose(pods, need, fleet.placement.mode, self._chance)
            if pod is not None:
                return Placed(self._job(fleet, pod.uid, wish, now), fleet)
        states = [worker.state for fleet in fleets for worker in fleet.workers]
        fits = any(ever_fits(*each) for each in zip(fleets, needs, strict=True))
        cores = min((need.cores for need in needs), default=0.0)
        return Nowhere(why_nowhere(states, fits), cores)

    def _job(self, fleet: Fleet, uid: str, wish: _Wish, now: float) -> Job:
        worker = self._pods.by_uid[uid][1]
        return Job(
            egress_id=wish.request.egress_id,
            fleet=fleet.key,
            worker=worker.name,
            worker_uid=uid,
            cluster_id=worker.cluster_id,
            kind=wish.request.kind,
            cores=fleet.placement.cpu_cost.of(wish.request.kind),
            token=wish.token,
            claimed_at=now,
            room=wish.request.room,
        )

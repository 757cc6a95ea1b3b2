"""Take a place for a job: choose on the local copy, claim in Redis, choose again if that moved.

The places that are wanted at the same time are claimed by one call, so that a burst costs a few
round trips and not one for each job. While somebody waits, at this desk or another, places are
given in the order of the line (core/queue.py): what is for those before is held free for them.
"""

from __future__ import annotations

import asyncio
import collections
import math
import random
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from mediafleet_scheduler.core.accounts import Job
from mediafleet_scheduler.core.capacity import ever_fits
from mediafleet_scheduler.core.ledger import Ledger
from mediafleet_scheduler.core.placement import Refusal, choose, why_nowhere
from mediafleet_scheduler.core.queue import Waiting, line
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
    queue: Fleet | None = None
    """The fleet in whose queue it may wait."""


Found = Placed | Known | Nowhere


@dataclass(slots=True)
class Wish:
    """A place that somebody wants. Times are Unix seconds."""

    request: Request
    token: str
    came: float
    """When the request came."""
    since: float
    """From when it counts in the line: when its id was first asked for."""
    wait_until: float = 0.0
    """It may wait so long, if there is a queue."""
    excluded: Collection[str] = ()
    """Uids of pods that will not have it."""
    found: asyncio.Future[Found] = field(init=False)
    waited: bool = False
    """Whether it did not find room at once."""
    claiming: bool = False
    """Whether Redis is being asked for its place."""

    def __post_init__(self) -> None:
        self.again()

    def again(self) -> None:
        """Want it once more."""
        self.found = asyncio.get_running_loop().create_future()

    def answer(self, found: Found) -> None:
        """Say what came of it."""
        if not self.found.done():
            self.found.set_result(found)

    def fail(self, error: StoreError) -> None:
        """Nothing came of it, as far as is known."""
        if not self.found.done():
            self.found.set_exception(error)


@dataclass(slots=True)
class _Picked:
    """Places that were chosen and taken in the local copy, not yet in Redis."""

    chosen: list[tuple[Wish, Placed]] = field(default_factory=list)
    before: dict[str, Job | None] = field(default_factory=dict)
    """What the local copy had of each egress id."""
    held: list[str] = field(default_factory=list)
    """Taken for the moment of choosing, for those who are before in the line."""
    full: dict[object, Nowhere] = field(default_factory=dict)
    """What is known to fit nowhere any more."""


class Placer:
    """Takes places, one after the other; those that are wanted together in one call."""

    def __init__(self, pods: Pods, ledger: Ledger, store: Store, chance: random.Random) -> None:
        self._pods = pods
        self._ledger = ledger
        self._store = store
        self._chance = chance
        self._wishes: collections.deque[Wish] = collections.deque()
        self._patient: dict[str, Wish] = {}
        self._woken = False
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
        return not isinstance(self._find(request, (), time.time()), Nowhere)

    def wake(self) -> None:
        """There may be room for those who wait."""
        if self._patient:
            self._woken = True
            self._work_soon()

    def _work_soon(self) -> None:
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work(), name="placing")

    async def _work(self) -> None:
        while self._wishes or self._woken:
            self._woken = False
            count = min(len(self._wishes), _BATCH)
            wishes = [self._wishes.popleft() for _ in range(count)]
            try:
                await self._grant(wishes)
            except StoreError as error:
                for wish in wishes:
                    wish.fail(error)
            except Exception as error:
                for wish in [*wishes, *self._patient.values()]:
                    wish.fail(StoreError(f"placing failed: {type(error).__name__}"))
                raise

    async def _grant(self, wishes: Sequence[Wish]) -> None:
        for _ in range(_RACES):
            picked = self._pick(wishes)
            if not picked.chosen:
                return
            try:
                results = await self._store.claim([(place.job, "") for _, place in picked.chosen])
            except BaseException as error:
                self._undo(picked, picked.chosen)
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
            self._undo(picked, picked.chosen)
        raise StoreError("others were always faster")

    def _pick(self, wishes: Sequence[Wish]) -> _Picked:
        """The best places, in order; a wish without one is answered, unless it is a patient one."""
        picked, now = _Picked(), time.time()
        for wish, request in self._in_order(wishes, now):
            found = self._find_once(request, wish.excluded if wish else (), now, picked.full)
            if isinstance(found, Nowhere):
                if wish is not None and request.egress_id not in self._patient:
                    wish.answer(found)
                continue
            if wish is None:
                picked.held.append(f"held for {request.egress_id}")
                self._ledger.put(self._job(*found, request, picked.held[-1], now, ""))
                continue
            # Those that follow choose beside it.
            job = self._job(*found, request, request.egress_id, now, wish.token)
            picked.before[job.egress_id] = self._ledger.jobs.get(job.egress_id)
            self._ledger.put(job)
            picked.chosen.append((wish, Placed(job, found[0])))
            wish.claiming = True
            if len(picked.chosen) == _BATCH:
                self._woken = bool(self._patient)
                break
        for held in picked.held:
            self._ledger.drop(held)
        return picked

    def _in_order(
        self, wishes: Sequence[Wish], now: float
    ) -> Iterator[tuple[Wish | None, Request]]:
        """Who is given a place before whom; no wish: it is another desk's, or its place is kept."""
        if not self._patient and not self._ledger.waiting:
            for wish in wishes:
                if not wish.found.done():
                    yield wish, wish.request
            return
        wanted = [*wishes, *self._patient.values()]
        here = {wish.request.egress_id: wish for wish in wanted if not wish.found.done()}
        entries = [
            Waiting(key, "", wish.request.kind, 0.0, wish.request.room, wish.since, until=math.inf)
            for key, wish in here.items()
        ]
        waiting = self._ledger.waiting.items()
        entries += [e for key, e in waiting if key not in here and key not in self._ledger.jobs]
        for entry in line(entries, self._ledger.turns, now):
            own = here.get(entry.egress_id)
            if own is not None:
                yield own, own.request
            else:
                yield None, Request(entry.egress_id, entry.kind, entry.cores, room_name=entry.room)

    def _find_once(
        self, request: Request, excluded: Collection[str], now: float, full: dict[object, Nowhere]
    ) -> tuple[Fleet, str] | Nowhere:
        """As `_find`, which is not asked twice for what fits nowhere: room only gets less."""
        if excluded:
            return self._find(request, excluded, now)
        key = (request.kind, request.estimated_cores, request.room)
        if key in full:
            return full[key]
        found = self._find(request, excluded, now)
        if isinstance(found, Nowhere):
            full[key] = found
        return found

    def _find(
        self, request: Request, excluded: Collection[str], now: float
    ) -> tuple[Fleet, str] | Nowhere:
        """The best place on the local copy: the fleet and the uid of the pod."""
        fleets = self._pods.accepting(request.kind, request.room)
        needs = [need_of(request.kind, each.placement, request.estimated_cores) for each in fleets]
        for fleet, need in zip(fleets, needs, strict=True):
            pods = self._pods.candidates(fleet, now, excluded)
            pod = choose(pods, need, fleet.placement.mode, self._chance)
            if pod is not None:
                return fleet, pod.uid
        states = [worker.state for fleet in fleets for worker in fleet.workers]
        fitting = [each for each in zip(fleets, needs, strict=True) if ever_fits(*each)]
        queues = [each for each in fitting if each[0].queue.max_wait_seconds > 0]
        fleet_and_need = next(iter(queues or fitting), None)
        cores = (
            fleet_and_need[1].cores
            if fleet_and_need
            else max((n.cores for n in needs), default=0.0)
        )
        return Nowhere(why_nowhere(states, bool(fitting)), cores, queues[0][0] if queues else None)

    def _job(
        self, fleet: Fleet, uid: str, request: Request, egress_id: str, now: float, token: str
    ) -> Job:
        worker = self._pods.by_uid[uid][1]
        return Job(
            egress_id=egress_id,
            fleet=fleet.key,
            worker=worker.name,
            worker_uid=uid,
            cluster_id=worker.cluster_id,
            kind=request.kind,
            cores=fleet.placement.cpu_cost.of(request.kind),
            token=token,
            claimed_at=now,
            room=request.room,
        )

    def _answer(self, picked: _Picked, results: Sequence[Claimed]) -> None:
        for (wish, place), result in zip(picked.chosen, results, strict=True):
            if result.existing is None:
                wish.answer(place)
            else:
                self._undo(picked, [(wish, place)])
                wish.answer(Known(result.existing, result.status is Claim.ENDED))

    def _undo(self, picked: _Picked, chosen: Sequence[tuple[Wish, Placed]]) -> None:
        """Take back what was only chosen; what Redis told meanwhile stays."""
        for _, place in chosen:
            if self._ledger.jobs.get(place.job.egress_id) == place.job:
                self._ledger.drop(place.job.egress_id)
                if old := picked.before[place.job.egress_id]:
                    self._ledger.put(old)

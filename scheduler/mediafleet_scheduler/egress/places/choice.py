"""Choose places on the local copy: which pod for which request, and who is before whom. No I/O.

While somebody waits, at this desk or another, places are given in the order of the line
(core/egress/queue.py): what is for those before is held free for them.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.accounting.resources import Need, need_of
from mediafleet_scheduler.core.egress.capacity import ever_fits
from mediafleet_scheduler.core.egress.placement.modes import Refusal, choose, why_nowhere
from mediafleet_scheduler.core.egress.queue import Waiting, line
from mediafleet_scheduler.core.egress.requests import Request
from mediafleet_scheduler.core.egress.views import Fleet
from mediafleet_scheduler.egress.ledger.records import Record
from mediafleet_scheduler.egress.ledger.store import StoreError
from mediafleet_scheduler.egress.places.pods import Pods

MOST_AT_ONCE: Final = 64
"""Those who wait are given so many places by one call."""


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
    news: int = 0
    """How much had happened when it found no room."""
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


Full = dict[Hashable, Nowhere]


@dataclass(slots=True)
class Picked:
    """Places that were chosen and taken in the local copy, not yet in Redis."""

    chosen: list[tuple[Wish, Placed]] = field(default_factory=list)
    before: dict[str, Job | None] = field(default_factory=dict)
    """What the local copy had of each egress id."""
    unplaced: list[tuple[Wish, Nowhere]] = field(default_factory=list)
    more: bool = False
    """Whether there is room for more of those who wait."""
    full: Full = field(default_factory=dict)
    """What is known to fit nowhere any more."""


class Chooser:
    """Chooses on the local copy of the ledger."""

    def __init__(self, pods: Pods, ledger: Ledger, chance: random.Random) -> None:
        self._pods = pods
        self._ledger = ledger
        self._chance = chance

    def could(self, request: Request) -> bool:
        """Whether there is room for a request now, as far as is known."""
        return not isinstance(self._find(request, (), time.time()), Nowhere)

    def pick(self, wishes: Sequence[Wish], patient: Mapping[str, Wish]) -> Picked:
        """The best places for wishes and for those who wait here already, in order.

        What is chosen is taken in the local copy, for the next to be chosen beside it.
        """
        picked, now = Picked(), time.time()
        held: list[str] = []
        for wish, request in self._in_order(wishes, patient, now):
            found = self._find_once(request, wish.excluded if wish else (), now, picked.full)
            if isinstance(found, Nowhere):
                if wish is not None:
                    picked.unplaced.append((wish, found))
                continue
            if wish is None or (
                len(picked.chosen) >= MOST_AT_ONCE and request.egress_id in patient
            ):
                # It is another desk's, its place is kept, or its turn is with the next call.
                picked.more |= wish is not None
                held.append(f"held for {request.egress_id}")
                self._ledger.put(self._job(*found, request, held[-1], now, ""))
                continue
            job = self._job(*found, request, request.egress_id, now, wish.token)
            picked.before[job.egress_id] = self._ledger.jobs.get(job.egress_id)
            self._ledger.put(job)
            picked.chosen.append((wish, Placed(job, found[0])))
        for egress_id in held:
            self._ledger.drop(egress_id)
        return picked

    def undo(self, picked: Picked, chosen: Sequence[tuple[Wish, Placed]]) -> None:
        """Take back what was only chosen; what Redis told meanwhile stays."""
        for _, place in chosen:
            if self._ledger.jobs.get(place.job.egress_id) == place.job:
                self._ledger.drop(place.job.egress_id)
                if old := picked.before[place.job.egress_id]:
                    self._ledger.put(old)

    def key(self, request: Request) -> Hashable:
        """The same for all that fit or do not fit alike."""
        fleets = self._pods.accepting(request.kind, request.room)
        return (request.kind, request.estimated_cores, *(fleet.key for fleet in fleets))

    def _in_order(
        self, wishes: Sequence[Wish], patient: Mapping[str, Wish], now: float
    ) -> Iterator[tuple[Wish | None, Request]]:
        """Who is given a place before whom; no wish: it is another desk's, or its place is kept."""
        if not patient and not self._ledger.waiting:
            for wish in wishes:
                if not wish.found.done():
                    yield wish, wish.request
            return
        wanted = [*wishes, *patient.values()]
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
        self, request: Request, excluded: Collection[str], now: float, full: Full
    ) -> tuple[Fleet, str] | Nowhere:
        """As `_find`, which is not asked twice for what fits nowhere: room only gets less."""
        if excluded:
            return self._find(request, excluded, now)
        key = self.key(request)
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
        if not fleets:
            return Nowhere(Refusal.NO_TYPE_CAPACITY, 0.0)
        needs = [self._need(request, each) for each in fleets]
        for fleet, need in zip(fleets, needs, strict=True):
            pods = self._pods.candidates(fleet, now, excluded)
            pod = choose(pods, need, fleet.placement.mode, self._chance)
            if pod is not None:
                return fleet, pod.uid
        states = [worker.state for fleet in fleets for worker in fleet.workers]
        fitting = [each for each in zip(fleets, needs, strict=True) if ever_fits(*each)]
        queues = [each for each in fitting if each[0].queue.max_wait_seconds > 0]
        cores = next((need.cores for _, need in queues or fitting), max(n.cores for n in needs))
        return Nowhere(why_nowhere(states, bool(fitting)), cores, queues[0][0] if queues else None)

    def _need(self, request: Request, fleet: Fleet) -> Need:
        learnt = self._pods.costs.estimate(fleet, request.kind)
        return need_of(request.kind, fleet.placement, request.estimated_cores or learnt)

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

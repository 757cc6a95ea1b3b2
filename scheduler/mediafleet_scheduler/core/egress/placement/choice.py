"""The order of a pick: which pod for which request, and who is before whom. Pure.

While a request waits, at this desk or another, places are given in the order of the line
(core/egress/queue.py): what is for those before is held free for them. What is picked is taken in
the local copy of the ledger, for the next to be picked beside it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.value import value
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.accounting.resources import Need, need_of
from mediafleet_scheduler.core.egress.capacity import ever_fits
from mediafleet_scheduler.core.egress.placement.modes import (
    Refusal,
    WorkerView,
    short_of,
    why_nowhere,
)
from mediafleet_scheduler.core.egress.queue import Waiting, line
from mediafleet_scheduler.core.egress.requests import Request
from mediafleet_scheduler.core.egress.views import Fleet, Worker

MOST_AT_ONCE: Final = 64
"""Requests that wait are given so many places by one call of Redis."""


@value
class Placed:
    """A place is taken."""

    job: Job
    fleet: Fleet


@value
class NoCapacity:
    """No pod has room."""

    reason: Refusal
    cores: float
    queue: Fleet | None = None
    """The fleet in whose queue the request may wait."""


class Wanted(Protocol):
    """A request for a place."""

    @property
    def request(self) -> Request:
        """What is to be placed."""

    @property
    def token(self) -> str:
        """Of the start attempt."""

    @property
    def since(self) -> float:
        """From when (Unix time) it counts in the line."""

    @property
    def excluded(self) -> Collection[str]:
        """Uids of pods that do not take it."""


class Candidates(Protocol):
    """The pods of one Redis."""

    @property
    def by_uid(self) -> Mapping[str, tuple[Fleet, Worker]]:
        """All pods, with their fleets."""

    def accepting(self, kind: RequestType, room: str) -> list[Fleet]:
        """The fleets that take a type for a room, in order."""

    def best(
        self,
        fleet: Fleet,
        need: Need,
        now: float,
        excluded: Collection[str],
        chance: random.Random,
    ) -> str | None:
        """The uid of the pod that gets such a job, by the fleet's mode; `None`: it fits nowhere."""

    def candidates(
        self, fleet: Fleet, now: float, excluded: Collection[str], chrome: bool
    ) -> list[WorkerView]:
        """The pods of a fleet that may be given work; `now` is Unix time."""

    def estimate(self, fleet: Fleet, kind: RequestType) -> float | None:
        """CPUs that a job was learnt to need; `None`: the fleet's table counts."""


W = TypeVar("W", bound=Wanted)
Full = dict[Hashable, NoCapacity]


@dataclass(slots=True)
class Picked(Generic[W]):
    """Places that were chosen and taken in the local copy, not yet in Redis."""

    chosen: list[tuple[W, Placed]] = field(default_factory=list)
    before: dict[str, Job | None] = field(default_factory=dict)
    """What the local copy had of each egress id."""
    unplaced: list[tuple[W, NoCapacity]] = field(default_factory=list)
    more: bool = False
    """Whether there is room for more of the requests that wait."""
    full: Full = field(default_factory=dict)
    """What is known to fit nowhere any more."""


class Chooser:
    """Chooses on the local copy of the ledger; times are Unix seconds."""

    def __init__(self, pods: Candidates, ledger: Ledger, chance: random.Random) -> None:
        self._pods = pods
        self._ledger = ledger
        self._chance = chance

    def could(self, request: Request, now: float) -> bool:
        """Whether there is room for a request, as far as is known."""
        return not isinstance(self._find(request, (), now), NoCapacity)

    def pick(self, wanted: Sequence[W], patient: Mapping[str, W], now: float) -> Picked[W]:
        """The best places for new requests and for those that wait here already, in order."""
        picked: Picked[W] = Picked()
        held: list[str] = []
        for own, request in self._in_order(wanted, patient, now):
            found = self._find_once(request, own.excluded if own else (), now, picked.full)
            if isinstance(found, NoCapacity):
                if own is not None:
                    picked.unplaced.append((own, found))
                continue
            if own is None or (len(picked.chosen) >= MOST_AT_ONCE and request.egress_id in patient):
                # It is another desk's, its place is kept, or its turn is with the next call.
                picked.more |= own is not None
                held.append(f"held for {request.egress_id}")
                self._ledger.put(self._job(*found, request, held[-1], now, ""))
                continue
            job = self._job(*found, request, request.egress_id, now, own.token)
            picked.before[job.egress_id] = self._ledger.jobs.get(job.egress_id)
            self._ledger.put(job)
            picked.chosen.append((own, Placed(job, found[0])))
        for egress_id in held:
            self._ledger.drop(egress_id)
        return picked

    def undo(self, picked: Picked[W], chosen: Sequence[tuple[W, Placed]]) -> None:
        """Take back what was only chosen; what Redis told meanwhile stays."""
        for _, place in chosen:
            if self._ledger.jobs.get(place.job.egress_id) == place.job:
                self._ledger.drop(place.job.egress_id)
                if old := picked.before[place.job.egress_id]:
                    self._ledger.put(old)

    def key(self, request: Request) -> Hashable:
        """The same for all requests that fit or do not fit alike."""
        fleets = self._pods.accepting(request.kind, request.room)
        return (request.kind, request.estimated_cores, *(fleet.key for fleet in fleets))

    def _in_order(
        self, wanted: Sequence[W], patient: Mapping[str, W], now: float
    ) -> Iterator[tuple[W | None, Request]]:
        """Requests, first come first; `None` where it is another desk's, or its place is kept."""
        if not patient and not self._ledger.waiting:
            for each in wanted:
                yield each, each.request
            return
        here = {each.request.egress_id: each for each in (*wanted, *patient.values())}
        entries = [
            Waiting(key, "", each.request.kind, 0.0, each.request.room, each.since, until=math.inf)
            for key, each in here.items()
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
    ) -> tuple[Fleet, str] | NoCapacity:
        """As `_find`, which is not asked twice for what fits nowhere: room only gets less."""
        if excluded:
            return self._find(request, excluded, now)
        key = self.key(request)
        if key in full:
            return full[key]
        found = self._find(request, excluded, now)
        if isinstance(found, NoCapacity):
            full[key] = found
        return found

    def _find(
        self, request: Request, excluded: Collection[str], now: float
    ) -> tuple[Fleet, str] | NoCapacity:
        """The best place on the local copy: the fleet and the uid of the pod."""
        fleets = self._pods.accepting(request.kind, request.room)
        if not fleets:
            return NoCapacity(Refusal.NO_TYPE_CAPACITY, 0.0)
        needs = [self._need(request, each) for each in fleets]
        for fleet, need in zip(fleets, needs, strict=True):
            uid = self._pods.best(fleet, need, now, excluded, self._chance)
            if uid is not None:
                return fleet, uid
        chrome = request.kind.needs_chrome
        short = {
            short_of(self._pods.candidates(fleet, now, excluded, chrome), need)
            for fleet, need in zip(fleets, needs, strict=True)
        }
        states = [worker.state for fleet in fleets for worker in fleet.workers]
        fitting = [each for each in zip(fleets, needs, strict=True) if ever_fits(*each)]
        queues = [each for each in fitting if each[0].queue.max_wait_seconds > 0]
        cores = next((need.cores for _, need in queues or fitting), max(n.cores for n in needs))
        queue = queues[0][0] if queues else None
        lacking = short.pop() if len(short) == 1 else Refusal.NO_CAPACITY
        return NoCapacity(why_nowhere(states, bool(fitting), lacking), cores, queue)

    def _need(self, request: Request, fleet: Fleet) -> Need:
        learnt = self._pods.estimate(fleet, request.kind)
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
            cores=fleet.counts(worker).cpu_cost.of(request.kind),
            token=token,
            claimed_at=now,
            room=request.room,
            lines=request.lines,
        )

"""The pods that may be given work: what the directory tells, seen through the ledger."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Mode
from mediafleet_common.api.names import PodState
from mediafleet_common.probes.load import Load
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Account, Ledger, Pod
from mediafleet_scheduler.core.egress.accounting.lives import Lives
from mediafleet_scheduler.core.egress.accounting.own_counts import differences
from mediafleet_scheduler.core.egress.accounting.resources import Need, need_of
from mediafleet_scheduler.core.egress.capacity import pod_of
from mediafleet_scheduler.core.egress.placement.explanation import Seen
from mediafleet_scheduler.core.egress.placement.modes import WorkerView, dearest_page
from mediafleet_scheduler.core.egress.placement.order import Order, view_of
from mediafleet_scheduler.core.egress.quarantine import room_to_spare
from mediafleet_scheduler.core.egress.views import EgressView, Fleet, Worker
from mediafleet_scheduler.egress.places.costs import Costs
from mediafleet_scheduler.egress.places.quarantine import Quarantine

_log: Final = logging.getLogger(__name__)
_Kept = tuple[Need | None, bool]
_NONE_KEPT: Final[_Kept] = (None, False)


class Pods:
    """The fleets of one Redis."""

    def __init__(self, ledger: Ledger, quarantine: Quarantine) -> None:
        self._ledger = ledger
        self.quarantine: Final = quarantine
        self.costs: Final = Costs(ledger)
        """What jobs really use."""
        self.lives: Final = Lives()
        """Which process is in each pod."""
        self.counting_otherwise: dict[str, tuple[str, ...]] = {}
        """By uid of pods: what they count otherwise than the desk, in sentences."""
        self._odd: dict[str, tuple[str, ...]] = {}
        self._fleets: tuple[Fleet, ...] = ()
        self._by_uid: dict[str, tuple[Fleet, Worker]] = {}
        self._sizes: dict[str, Pod] = {}
        self._orders: dict[str, Order] = {}
        """By key of the fleet."""
        self._news = ledger.watch()
        self.left: Final = asyncio.Event()
        """Set when a pod with jobs is gone, not Ready any more, or has begun anew."""
        self.complete_until = 0.0
        """Until when (loop time) the ledger is known to hold every job of every pod."""

    @property
    def fleets(self) -> tuple[Fleet, ...]:
        """All fleets, in the order in which they are tried."""
        return self._fleets

    @property
    def by_uid(self) -> dict[str, tuple[Fleet, Worker]]:
        """All pods, with their fleets."""
        return self._by_uid

    def follow(self, view: EgressView) -> None:
        """The directory has a new view."""
        before = self._serving()
        self._fleets = tuple(sorted(view.fleets, key=lambda fleet: fleet.rank))
        self._by_uid = {w.uid: (fleet, w) for fleet in view.fleets for w in fleet.workers}
        self._sizes = {w.uid: pod_of(fleet, w) for fleet, w in self._by_uid.values()}
        self._orders = {each.key: Order(each, self._ledger) for each in view.fleets}
        self.quarantine.keep_only(self._by_uid)
        self.lives.keep_only(self._by_uid)
        for uid in self.counting_otherwise.keys() - self._by_uid.keys():
            del self.counting_otherwise[uid]
        self.costs.follow(view.fleets)
        self._ledger.keep_only(self._by_uid)
        if any(self._ledger.on(uid) for uid in before - self._serving()):
            self.left.set()

    def read_load(self, uid: str, load: Load, now: float) -> None:
        """A pod has told its load; its process may be another one than before."""
        fleet, worker = self._by_uid[uid]
        if self.lives.read(uid, load.node_id, now) and self._ledger.on(uid):
            self.left.set()
        self._compare(fleet, worker, load)
        costs = fleet.counts(worker).cpu_cost
        self._ledger.measure(self._sizes[uid], load, costs, now)
        self.costs.read(fleet, worker, load, now)

    def _compare(self, fleet: Fleet, worker: Worker, load: Load) -> None:
        """A worker's own limits with the desk's; one reading may lie between two states."""
        odd, before = differences(load, fleet.counts(worker)), self._odd.pop(worker.uid, ())
        if odd:
            self._odd[worker.uid] = odd
        sure = tuple(each for each in odd if each in before)
        known = self.counting_otherwise.pop(worker.uid, ())
        for each in sure:
            if each not in known:
                who = f"{worker.name} of {label(fleet)}"
                _log.warning("%s counts otherwise than the desk: %s", who, each)
        if sure:
            self.counting_otherwise[worker.uid] = sure

    def accepting(self, kind: RequestType, room: str) -> list[Fleet]:
        """The fleets that take a type for a room (empty: none), in order."""
        return [fleet for fleet in self._fleets if fleet.takes(kind, room)]

    def estimate(self, fleet: Fleet, kind: RequestType) -> float | None:
        """CPUs that a job was learnt to need; `None`: the fleet's table counts."""
        return self.costs.estimate(fleet, kind)

    def best(
        self,
        fleet: Fleet,
        need: Need,
        now: float,
        excluded: Collection[str],
        chance: random.Random,
    ) -> str | None:
        """The uid of the pod that gets such a job, by the fleet's mode; `None`: it fits nowhere.

        `now` is Unix time.
        """
        if (touched := self._news.take()) is None or touched:
            for order in self._orders.values():
                order.touch(touched)
        skipped = self._left_out(fleet, need.kind.needs_chrome)
        if excluded:
            skipped = {*skipped, *excluded}
        last = self.quarantine.refusing()
        return self._orders[fleet.key].best(need, now, self._complete(), skipped, last, chance)

    def candidates(
        self, fleet: Fleet, now: float, excluded: Collection[str], chrome: bool
    ) -> list[WorkerView]:
        """The pods of a fleet that may be given a job, with Chrome or not; `now` is Unix time."""
        complete, room = self._complete(), self._room_kept(fleet, now)
        left_out = self._left_out(fleet, chrome)
        return [
            self._seen(fleet, worker, now, complete, room)
            for worker in fleet.workers
            if worker.state is PodState.READY
            and worker.uid not in excluded
            and worker.uid not in left_out
        ]

    def seen(self, fleet: Fleet, now: float, chrome: bool) -> list[Seen]:
        """All pods of a fleet, also those that may not be given work; for people who ask why."""
        complete, room = self._complete(), self._room_kept(fleet, now)
        left_out = self._left_out(fleet, chrome)
        return [
            Seen(worker, self._seen(fleet, worker, now, complete, room), worker.uid in left_out)
            for worker in fleet.workers
        ]

    def refused(self, job: Job, cores: float, now: float) -> None:
        """A job's pod has said that it has not so many CPUs."""
        self._ledger.refuse(job.worker_uid, cores, now)

    def had_room(self, job: Job, now: float) -> bool:
        """Whether a job's pod has room to spare beside it, as far as is known."""
        known = self._by_uid.get(job.worker_uid)
        if known is None:
            return False
        pod = self._seen(*known, now, self._complete())
        if pod.closed is not None:
            return False
        another = need_of(job.kind, known[0].counts(known[1]), job.cores)
        spare = room_to_spare(pod.jobs - 1, pod.free_cores, job.cores, pod.known)
        # How many jobs of a type it may have is our rule, of which the pod knows nothing.
        return spare and replace(pod.rest, of_type={}).fits(another)

    def _serving(self) -> set[str]:
        return {uid for uid, (_, w) in self._by_uid.items() if w.state is not PodState.PENDING}

    def _complete(self) -> bool:
        return asyncio.get_running_loop().time() < self.complete_until

    def _left_out(self, fleet: Fleet, chrome: bool) -> Collection[str]:
        if not self.quarantine.any:
            return ()
        uids = [worker.uid for worker in fleet.workers if worker.state is PodState.READY]
        waiting = [
            uid for uid in uids if any(j.started_at is None for j in self._ledger.on(uid).values())
        ]
        return self.quarantine.left_out(uids, waiting, chrome)

    def _account(self, fleet: Fleet, worker: Worker, now: float) -> Account:
        utilization = fleet.counts(worker).max_cpu_utilization
        return self._ledger.account(self._sizes[worker.uid], utilization, now)

    def _room_kept(self, fleet: Fleet, now: float) -> _Kept:
        """The page that room is kept for, if any, and whether the fleet runs pages now."""
        if fleet.placement.mode is not Mode.TYPE_AWARE:
            return _NONE_KEPT
        wanted = any(self._account(fleet, worker, now).pages for worker in fleet.workers)
        return dearest_page(fleet.placement, fleet.accepts), wanted

    def _seen(
        self, fleet: Fleet, worker: Worker, now: float, complete: bool, room: _Kept = _NONE_KEPT
    ) -> WorkerView:
        account = self._account(fleet, worker, now)
        view = view_of(worker, account, complete, *room)
        if self.quarantine.refused_lately(worker.uid):
            return replace(view, refused_lately=True)
        return view


def label(fleet: Fleet) -> str:
    """A fleet's name in metrics and logs."""
    return fleet.key.removeprefix("/")

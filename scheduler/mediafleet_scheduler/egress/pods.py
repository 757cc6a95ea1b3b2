"""The pods that may be given work: what the directory tells, seen through the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from mediafleet_common.api.egress_fleet import RequestType
from mediafleet_common.api.names import PodState
from mediafleet_scheduler.core.ledger import Ledger, Pod
from mediafleet_scheduler.core.placement import WorkerView
from mediafleet_scheduler.core.resources import rules_of
from mediafleet_scheduler.directory.views import EgressView, Fleet, Worker


class Pods:
    """The fleets of one Redis."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._fleets: tuple[Fleet, ...] = ()
        self._by_uid: dict[str, tuple[Fleet, Worker]] = {}
        self._sizes: dict[str, Pod] = {}
        self._shunned: dict[str, float] = {}
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
        self._fleets = tuple(sorted(view.fleets, key=lambda fleet: fleet.rank))
        self._by_uid = {w.uid: (fleet, w) for fleet in view.fleets for w in fleet.workers}
        self._sizes = {w.uid: pod_of(fleet, w) for fleet, w in self._by_uid.values()}
        self._shunned = {uid: at for uid, at in self._shunned.items() if uid in self._by_uid}
        self._ledger.keep_only(self._by_uid)

    def accepting(self, kind: RequestType, room: str) -> list[Fleet]:
        """The fleets that take a type for a room (empty: none), in order."""
        return [fleet for fleet in self._fleets if fleet.takes(kind, room)]

    def candidates(self, fleet: Fleet, now: float, excluded: Collection[str]) -> list[WorkerView]:
        """The pods of a fleet that may be given work; `now` is Unix time."""
        loop_now = asyncio.get_running_loop().time()
        complete = loop_now < self.complete_until
        return [
            self._seen(fleet, worker, now, loop_now, complete)
            for worker in fleet.workers
            if worker.state is PodState.READY and worker.uid not in excluded
        ]

    def shun(self, uid: str, seconds: float) -> None:
        """Ask a pod last for a while: it would not bid."""
        self._shunned[uid] = asyncio.get_running_loop().time() + seconds

    def trust(self, uid: str) -> None:
        """A pod has bid again."""
        self._shunned.pop(uid, None)

    def _seen(
        self, fleet: Fleet, worker: Worker, now: float, loop_now: float, complete: bool
    ) -> WorkerView:
        size = self._sizes[worker.uid]
        account = self._ledger.account(size, fleet.placement.max_cpu_utilization, now)
        return WorkerView(
            name=worker.name,
            uid=worker.uid,
            cores=worker.cpu_cores,
            free_cores=account.free_cores,
            jobs=account.jobs,
            known=account.measured or complete,
            shunned=self._shunned.get(worker.uid, 0.0) > loop_now,
            rest=account.rest,
        )


def pod_of(fleet: Fleet, worker: Worker) -> Pod:
    """A worker of a fleet, as far as what jobs take of it goes."""
    return Pod(worker.name, worker.uid, worker.cpu_cores, rules_of(fleet.placement))


def label(fleet: Fleet) -> str:
    """A fleet's name in metrics and logs."""
    return fleet.key.removeprefix("/")

"""The order over the pods of a fleet, kept from one pick to the next. Pure.

A job changes one pod. So the pods that something happened to since the last pick are looked at anew
and put where they belong now, and the others stay where they are: a pick in a large fleet costs
about what it costs in a small one. It finds the pod that `modes.choose` finds among all of them.
"""

from __future__ import annotations

import bisect
import collections
import heapq
import random
from collections.abc import Collection, Iterable
from typing import Final

from mediafleet_common.api.egress.placement import Mode
from mediafleet_common.api.names import PodState
from mediafleet_scheduler.core.egress.accounting.ledger import Account, Ledger
from mediafleet_scheduler.core.egress.accounting.resources import Need
from mediafleet_scheduler.core.egress.capacity import pod_of
from mediafleet_scheduler.core.egress.placement.modes import (
    CHOICES,
    KEYS,
    Key,
    WorkerView,
    dearest_page,
    page_room,
)
from mediafleet_scheduler.core.egress.views import Fleet, Worker

KEPT_NEEDS: Final = 32
"""Requests may say what they need: so many needs have an order each, those used last."""

_Ranked = tuple[Key, str]


class _Ranking:
    """The pods that have room for one need, best first."""

    def __init__(self, need: Need, mode: Mode, uids: Iterable[str]) -> None:
        self.stale: Final = set(uids)
        """Pods that are to be put where they belong."""
        self._need = need
        self._key = KEYS[mode]
        self._keys: dict[str, Key] = {}
        self._order: list[_Ranked] = []
        self._unknown: dict[str, WorkerView] = {}
        """Those that may run what nobody here knows of."""

    def put(self, uid: str, view: WorkerView | None) -> None:
        """Put a pod where it belongs; `None`: it may not be given work."""
        if (before := self._keys.pop(uid, None)) is not None:
            del self._order[bisect.bisect_left(self._order, (before, uid))]
        self._unknown.pop(uid, None)
        if view is None or not view.fits(self._need):
            return
        if view.known:
            key = self._keys[uid] = self._key(view, self._need)
            bisect.insort(self._order, (key, uid))
        else:
            self._unknown[uid] = view

    def best(
        self, skipped: Collection[str], last: Collection[str], chance: random.Random
    ) -> str | None:
        """The uid of the best pod; those in `last` are taken when there is no other."""
        first = self._first(skipped, last)
        unknown = [view for uid, view in self._unknown.items() if uid not in skipped]
        if len(unknown) > CHOICES:
            unknown = chance.sample(sorted(unknown, key=lambda view: view.name), CHOICES)
        found = [_ranked(self._key(view, self._need), view.uid, last) for view in unknown]
        if first is not None:
            found.append(first)
        return min(found)[1] if found else None

    def _first(self, skipped: Collection[str], last: Collection[str]) -> _Ranked | None:
        late = None
        for key, uid in self._order:
            if uid in skipped:
                continue
            if uid not in last:
                return key, uid
            late = late or _ranked(key, uid, last)
        return late


class Order:
    """The order over the pods of one fleet, for each need that was asked for lately."""

    def __init__(self, fleet: Fleet, ledger: Ledger) -> None:
        self._fleet = fleet
        self._ledger = ledger
        self._pods = {worker.uid: (worker, pod_of(fleet, worker)) for worker in fleet.workers}
        type_aware = fleet.placement.mode is Mode.TYPE_AWARE
        self._page = dearest_page(fleet.placement, fleet.accepts) if type_aware else None
        self._with_pages: set[str] = set()
        self._pages_wanted = False
        self._complete = False
        self._stale = set(self._pods)
        self._views: dict[str, WorkerView | None] = {}
        self._changes: list[tuple[float, str]] = []
        """When time alone changes a pod: a heap."""
        self._change_of: dict[str, float] = {}
        self._rankings: collections.OrderedDict[Need, _Ranking] = collections.OrderedDict()

    @property
    def needs(self) -> Collection[Need]:
        """Those that have an order now."""
        return self._rankings.keys()

    def touch(self, uids: Iterable[str] | None) -> None:
        """Something happened to these pods; `None`: to any. Those of other fleets do not matter."""
        self._stale.update(self._pods if uids is None else self._pods.keys() & uids)

    def best(
        self,
        need: Need,
        now: float,
        complete: bool,
        skipped: Collection[str],
        last: Collection[str],
        chance: random.Random,
    ) -> str | None:
        """The uid of the pod that gets a job which needs so much; `None`: it fits nowhere.

        `complete`: the ledger holds every job of every pod. `skipped` are given nothing, `last`
        only what no other takes.
        """
        self._look_anew(now, complete)
        ranking = self._rankings.get(need)
        if ranking is None:
            ranking = _Ranking(need, self._fleet.placement.mode, self._pods)
            if len(self._rankings) >= KEPT_NEEDS:
                self._rankings.popitem(last=False)
            self._rankings[need] = ranking
        self._rankings.move_to_end(need)
        for uid in ranking.stale:
            ranking.put(uid, self._views[uid])
        ranking.stale.clear()
        return ranking.best(skipped, last, chance)

    def _look_anew(self, now: float, complete: bool) -> None:
        """Bring the views of those pods up to date that something, or time, has changed."""
        while self._changes and self._changes[0][0] <= now:
            at, uid = heapq.heappop(self._changes)
            if self._change_of.get(uid) == at:
                del self._change_of[uid]
            self._stale.add(uid)
        if complete is not self._complete:
            self._complete = complete
            self._stale.update(self._pods)
        if not self._stale:
            return
        stale, self._stale = self._stale, set()
        for uid in stale:
            self._note(uid, self._account(uid, now))
        if self._page is not None and bool(self._with_pages) is not self._pages_wanted:
            self._pages_wanted = not self._pages_wanted
            stale = set(self._pods)
        for uid in stale:
            self._views[uid] = self._view(uid, now)
        for ranking in self._rankings.values():
            ranking.stale.update(stale)

    def _note(self, uid: str, account: Account) -> None:
        """Note when a pod is to be looked at again, and whether it has pages."""
        if account.pages:
            self._with_pages.add(uid)
        else:
            self._with_pages.discard(uid)
        at = account.valid_until
        if at < self._change_of.get(uid, float("inf")):
            self._change_of[uid] = at
            heapq.heappush(self._changes, (at, uid))

    def _account(self, uid: str, now: float) -> Account:
        worker, pod = self._pods[uid]
        utilization = self._fleet.counts(worker).max_cpu_utilization
        return self._ledger.account(pod, utilization, now)

    def _view(self, uid: str, now: float) -> WorkerView | None:
        worker, _ = self._pods[uid]
        if worker.state is not PodState.READY:
            return None
        account = self._account(uid, now)
        return view_of(worker, account, self._complete, self._page, self._pages_wanted)


def view_of(
    worker: Worker, account: Account, complete: bool, page: Need | None, pages_wanted: bool
) -> WorkerView:
    """A pod as placement sees it; `page` is what room is kept for, if for anything."""
    page = page.by(worker.counts) if page is not None else None
    return WorkerView(
        name=worker.name,
        uid=worker.uid,
        cores=worker.cpu_cores,
        free_cores=account.free_cores,
        jobs=account.jobs,
        known=account.measured or complete,
        measured=account.measured,
        rest=account.rest,
        new_jobs=account.new,
        page_room=page_room(account, page, pages_wanted),
        closed=account.closed,
        counts=worker.counts,
    )


def _ranked(key: Key, uid: str, last: Collection[str]) -> _Ranked:
    """A pod's place among all, those in `last` behind the others."""
    return (uid in last, *key[1:]), uid

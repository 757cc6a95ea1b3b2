"""Take a place for a job: choose on the local copy, claim in Redis, choose again if that moved."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from mediafleet_scheduler.core.accounts import Job
from mediafleet_scheduler.core.placement import Refusal, choose, why_nowhere
from mediafleet_scheduler.core.requests import Request
from mediafleet_scheduler.directory.views import Fleet
from mediafleet_scheduler.egress.pods import Pods, states_and_sizes
from mediafleet_scheduler.egress.records import Record
from mediafleet_scheduler.egress.store import Claim, Store, StoreError

_RACES: Final = 50
"""Other desks may be faster so many times before a claim is given up."""

_log: Final = logging.getLogger(__name__)


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


class Placer:
    """Takes places, one after the other."""

    def __init__(self, pods: Pods, store: Store, chance: random.Random) -> None:
        self._pods = pods
        self._store = store
        self._chance = chance
        # Claims of one desk would only make each other void; between desks Redis decides.
        self._turn = asyncio.Lock()

    async def place(
        self, request: Request, token: str, excluded: Collection[str] = (), replaces: str = ""
    ) -> Placed | Known | Nowhere:
        """Take a place on the best pod of the first fleet that has room.

        `excluded` are uids of pods that will not have it.

        Raises:
            StoreError: Redis could not be asked, or others were always faster.
        """
        fleets = self._pods.accepting(request.kind)
        for fleet in fleets:
            async with self._turn:
                found = await self._place_in(fleet, request, token, excluded, replaces)
            if found is not None:
                return found
        cores = min(
            (request.needed_cores(fleet.placement.cpu_cost) for fleet in fleets), default=0.0
        )
        reason = Refusal.NO_TYPE_CAPACITY
        if fleets:
            reason = why_nowhere(*states_and_sizes(fleets), cores)
        return Nowhere(reason, cores)

    async def _place_in(
        self,
        fleet: Fleet,
        request: Request,
        token: str,
        excluded: Collection[str],
        replaces: str,
    ) -> Placed | Known | None:
        cores = request.needed_cores(fleet.placement.cpu_cost)
        for _ in range(_RACES):
            now = time.time()
            pods = self._pods.candidates(fleet, now, excluded)
            mode = fleet.placement.mode
            chosen = choose(pods, cores, request.needs_chrome, mode, self._chance)
            if chosen is None:
                return None
            job = self._job(fleet, chosen.uid, request, token, now)
            claimed = await self._store.claim(job, replaces)
            if claimed.status is Claim.CLAIMED:
                _log.debug("%s goes to %s of %s", job.egress_id, job.worker, fleet.key)
                return Placed(job, fleet)
            if claimed.existing is not None:
                return Known(claimed.existing, claimed.status is Claim.ENDED)
        raise StoreError("others were always faster")

    def _job(self, fleet: Fleet, uid: str, request: Request, token: str, now: float) -> Job:
        worker = self._pods.by_uid[uid][1]
        return Job(
            egress_id=request.egress_id,
            fleet=fleet.key,
            worker=worker.name,
            worker_uid=uid,
            cluster_id=worker.cluster_id,
            kind=request.kind,
            cores=fleet.placement.cpu_cost.of(request.kind),
            token=token,
            claimed_at=now,
        )

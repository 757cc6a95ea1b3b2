"""The ledger: which job is on which pod, and what that leaves free. Pure, one per Redis.

A job is pending from its claim, started once its pod has said so, and gone at its end; each step
may be told twice or late and then changes nothing. It is a copy of what lies in Redis
(egress/ledger/store.py), plus what the pods said of their load.

    put      -> pending     the place is taken; again with another pod: it moves
    start    -> started     the pod's answer; of a job that has ended already: nothing
    drop     -> gone        its end, or nothing came of it

Who waits for a place is part of it (core/egress/queue.py).
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from mediafleet_common.api.egress.costs import CpuCost, RequestType
from mediafleet_common.probes.load import Load
from mediafleet_common.value import value
from mediafleet_scheduler.core.egress.accounting.accounts import (
    HOLD_SECONDS,
    Closed,
    Job,
    Measured,
    free_cores,
    share_out,
    used_cores,
)
from mediafleet_scheduler.core.egress.accounting.resources import Need, Rest, Rules, rest
from mediafleet_scheduler.core.egress.queue import REFUSED_SECONDS, Waiting

STALE_SECONDS: Final = 20.0
"""A measurement older than this says nothing any more."""

NEW_SECONDS: Final = 5.0
"""A job counts as new so long after its claim: others of the same moment may still come."""

_MAX_TURNS: Final = 10_000
_MAX_GIVEN_UP: Final = 10_000

_ROUNDING: Final = 1e-9

_NO_JOBS: Final[Mapping[str, Job]] = {}


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, as far as what jobs take of it goes."""

    name: str
    uid: str
    cores: float | None
    """`None`: unknown."""
    rules: Rules = field(default_factory=Rules)


class Touched:
    """Of which pods (uids) and fleets (keys, for those that wait) something was told."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._all = True

    def add(self, name: str) -> None:
        """Something was told of it."""
        self._names.add(name)

    def add_all(self) -> None:
        """Something was told of any."""
        self._all = True

    def take(self) -> set[str] | None:
        """Those since this was last asked; `None`: any. What time alone changes is not in it."""
        names = None if self._all else self._names
        self._names, self._all = set(), False
        return names


@value
class Account:
    """What is left of a pod, for as long as nothing happens to it."""

    of: tuple[Pod, float]
    jobs: int
    free_cores: float | None
    """CPUs that the next job may take; `None`: unknown."""
    measured: bool
    """Whether the pod has lately said what it runs."""
    valid_until: float
    """Unix time from when the same jobs count otherwise."""
    rest: Rest = field(default_factory=Rest)
    """What is left beside the CPUs."""
    pages: bool = False
    """Whether one of its jobs needs Chrome."""
    new: bool = False
    """Whether one of its jobs is new."""
    closed: Closed | None = None
    """Why it takes no job, by its own word."""

    def times(self, need: Need) -> int | None:
        """How many more jobs that need so much fit; `None`: its size is unknown."""
        if self.closed is not None:
            return 0
        (pod, max_utilization), left = self.of, self.free_cores
        if pod.cores is None or left is None:
            return None
        first = 0
        if self.jobs == 0:
            # The first job alone may fill the whole pod; from then on it is a busy one.
            first = int(need.cores <= pod.cores)
            left = free_cores(pod.cores, max_utilization, 1, need.cores) if first else 0.0
        by_cores = first + max(0, math.floor(left / need.cores + _ROUNDING))
        return int(min(by_cores, self.rest.times(need)))


class Ledger:
    """Jobs by id and by pod."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._by_worker: dict[str, dict[str, Job]] = {}
        self._measured: dict[str, Measured] = {}
        self._refused: dict[str, tuple[float, float]] = {}
        """By uid of pods: CPUs that it had not, and when it said so."""
        self._accounts: dict[str, Account] = {}
        self._waiting: dict[str, Waiting] = {}
        self._given_up: dict[str, deque[tuple[float, RequestType]]] = {}
        self._watchers: list[Touched] = []
        self._turns: dict[str, float] = {}

    @property
    def waiting(self) -> Mapping[str, Waiting]:
        """Requests that wait for a place or were refused a moment ago, by egress id."""
        return self._waiting

    @property
    def turns(self) -> Mapping[str, float]:
        """When each flow (`Waiting.flow`) was last given a place, since somebody began to wait."""
        return self._turns

    @property
    def jobs(self) -> Mapping[str, Job]:
        """All jobs, by egress id."""
        return self._jobs

    def on(self, worker_uid: str) -> Mapping[str, Job]:
        """The jobs on a pod, by egress id."""
        return self._by_worker.get(worker_uid, _NO_JOBS)

    def measured(self, worker_uid: str) -> Measured | None:
        """What a pod last said of itself, however old; `None`: nothing."""
        return self._measured.get(worker_uid)

    def put(self, job: Job) -> None:
        """A place was claimed for a job; one that had a place before has moved."""
        self.drop(job.egress_id)
        self._jobs[job.egress_id] = job
        self._by_worker.setdefault(job.worker_uid, {})[job.egress_id] = job
        self._touch_pod(job.worker_uid)

    def start(self, egress_id: str, started_at: float, server_id: str | None) -> None:
        """A job's pod has said that it runs; the first word counts."""
        job = self._jobs.get(egress_id)
        if job is None or job.started_at is not None:
            return
        self.put(job._replace(started_at=started_at, server_id=server_id))

    def drop(self, egress_id: str) -> Job | None:
        """A job is gone; what it was, if it was known."""
        job = self._jobs.pop(egress_id, None)
        if job is not None:
            on_worker = self._by_worker[job.worker_uid]
            del on_worker[egress_id]
            if not on_worker:
                del self._by_worker[job.worker_uid]
            if job.started_at is not None:
                self._refused.pop(job.worker_uid, None)
            self._touch_pod(job.worker_uid)
        return job

    def wait(self, waiting: Waiting) -> None:
        """A request waits for a place, or its place is kept; the last word counts."""
        self._waiting[waiting.egress_id] = waiting
        self._touch(waiting.fleet)

    def leave(self, egress_id: str) -> None:
        """A request waits no more."""
        if waiting := self._waiting.pop(egress_id, None):
            self._touch(waiting.fleet)
        if not self._waiting:
            self._turns.clear()

    def give_up(self, egress_id: str) -> None:
        """Nobody came for the place of a refused request: it was refused for good."""
        entry = self._waiting.get(egress_id)
        if entry is not None:
            of_fleet = self._given_up.setdefault(entry.fleet, deque(maxlen=_MAX_GIVEN_UP))
            of_fleet.append((entry.over_at, entry.kind))
            self.leave(egress_id)

    def refused_for_good(self, fleet: str, now: float) -> Counter[RequestType]:
        """How many of a fleet's requests were, of each type, in the last quarter hour."""
        lately = self._given_up.get(fleet, ())
        return Counter(kind for at, kind in lately if now - at < REFUSED_SECONDS)

    def took_turn(self, flow: str, at: float) -> None:
        """A flow was given a place; it matters only while somebody waits."""
        if self._waiting:
            self._turns.pop(flow, None)
            self._turns[flow] = at
            if len(self._turns) > _MAX_TURNS:
                del self._turns[next(iter(self._turns))]

    def replace_all(self, jobs: Iterable[Job], waiting: Iterable[Waiting] = ()) -> None:
        """Redis was read anew."""
        self._jobs.clear()
        self._by_worker.clear()
        self._accounts.clear()
        for job in jobs:
            self.put(job)
        self._waiting = {each.egress_id: each for each in waiting}
        for watcher in self._watchers:
            watcher.add_all()
        self._turns.clear()

    def measure(self, pod: Pod, load: Load, costs: CpuCost, at: float) -> None:
        """A pod has told its load."""
        before = self._measured.get(pod.uid)
        if before is not None and at - before.at > STALE_SECONDS:
            before = None
        jobs = self.on(pod.uid).values()
        rules = pod.rules
        self._refused.pop(pod.uid, None)
        self._measured[pod.uid] = replace(
            share_out(load, jobs, pod.cores, costs, before, at),
            memory_gb=_part(load.memory_share, rules.memory.max_gb if rules.memory else None),
            pulse_clients=_part(load.pulse_share, rules.max_pulse_clients),
        )
        self._touch_pod(pod.uid)

    def refuse(self, worker_uid: str, cores: float, at: float) -> None:
        """A pod has said that it has not so many CPUs, whatever is known of it: it has not until
        one of its jobs ends or is no longer new to it, or it tells its load."""
        self._refused[worker_uid] = (cores, at)
        self._touch_pod(worker_uid)

    def keep_only(self, uids: Iterable[str]) -> None:
        """Only the pods with these uids are there; what others said of themselves is forgotten."""
        keep = set(uids)
        for uid in self._measured.keys() - keep:
            del self._measured[uid]
        for uid in self._accounts.keys() - keep:
            del self._accounts[uid]
        for uid in self._refused.keys() - keep:
            del self._refused[uid]

    def account(self, pod: Pod, max_utilization: float, now: float) -> Account:
        """What is left of a pod."""
        account = self._accounts.get(pod.uid)
        if account is None or account.valid_until <= now or account.of != (pod, max_utilization):
            account = self._counted(pod, max_utilization, now)
            self._accounts[pod.uid] = account
        return account

    def watch(self) -> Touched:
        """What is told from now on, for one who asks now and then; at first it is all."""
        watcher = Touched()
        self._watchers.append(watcher)
        return watcher

    def _touch_pod(self, uid: str) -> None:
        self._accounts.pop(uid, None)
        self._touch(uid)

    def _touch(self, name: str) -> None:
        for watcher in self._watchers:
            watcher.add(name)

    def _counted(self, pod: Pod, max_utilization: float, now: float) -> Account:
        # In one pass: it is made anew for each job that comes and goes.
        jobs = self.on(pod.uid).values()
        changes, newest, pages = math.inf, -math.inf, False
        for job in jobs:
            if job.started_at is not None and now < job.started_at + HOLD_SECONDS < changes:
                changes = job.started_at + HOLD_SECONDS
            if job.claimed_at > newest:
                newest = job.claimed_at
            pages = pages or job.kind.needs_chrome
        new = newest + NEW_SECONDS > now
        if new:
            changes = min(changes, newest + NEW_SECONDS)
        measured = self._measured.get(pod.uid)
        if measured is not None:
            if now - measured.at > STALE_SECONDS:
                measured = None
            else:
                changes = min(changes, measured.at + STALE_SECONDS)
        count = len(jobs) + (measured.foreign_jobs if measured else 0)
        free = None
        if pod.cores is not None:
            free = free_cores(pod.cores, max_utilization, count, used_cores(jobs, measured, now))
            cap, until = self._refusal(pod.uid, now)
            free = min(free, cap)
            changes = min(changes, until)
        return Account(
            of=(pod, max_utilization),
            jobs=count,
            free_cores=free,
            measured=measured is not None,
            valid_until=changes,
            rest=rest(pod.rules, jobs, measured, now),
            pages=pages,
            new=new,
            closed=measured.closed if measured else None,
        )

    def _refusal(self, uid: str, now: float) -> tuple[float, float]:
        """CPUs that a pod surely has not more than, and until when."""
        if uid not in self._refused:
            return math.inf, math.inf
        cores, at = self._refused[uid]
        ends = (until for job in self.on(uid).values() if (until := job.held_until()))
        until = min((end for end in ends if end > at), default=math.inf)
        until = min(until, at + STALE_SECONDS)
        if until <= now:
            del self._refused[uid]
            return math.inf, math.inf
        return math.nextafter(cores, 0.0), until


def _part(share: float | None, of: float | None) -> float | None:
    return None if share is None or of is None else share * of

"""Which pod gets the next job: an order over pods for each mode. Pure.

Every order is a key tuple, read from left to right, that ends in the pod's unique name. A pod is a
candidate when the job fits as the pod itself will count it (core/egress/accounting); a pod whose
CPUs are not known decides by its own bid.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Mode, Placement
from mediafleet_common.api.names import PodState
from mediafleet_common.value import value
from mediafleet_scheduler.core.egress.accounting.accounts import Closed
from mediafleet_scheduler.core.egress.accounting.ledger import Account
from mediafleet_scheduler.core.egress.accounting.resources import Lack, Need, Rest, need_of

NOTHING_TAKEN: Final = Rest()

CHOICES: Final = 2
"""Of pods whose load is unknown, the better of so many random ones: the best of all by stale news
is worse than a random one, since everybody picks it."""


@dataclass(frozen=True, slots=True)
class PageRoom:
    """What a pod has for pages: the dearest of the jobs that need Chrome."""

    pages: int
    """How many more fit."""
    spare_cores: float
    """CPUs that small jobs may take, and as many pages still fit."""
    wanted: bool
    """Whether the fleet runs pages at this moment."""


def dearest_page(placement: Placement, accepts: Iterable[RequestType]) -> Need | None:
    """The page that room is kept for; `None`: for none, since the fleet takes none."""
    pages = [need_of(kind, placement) for kind in accepts if kind.needs_chrome]
    return max(pages, key=lambda need: (need.cores, need.kind), default=None)


def page_room(account: Account, page: Need | None, wanted: bool) -> PageRoom | None:
    """What a pod has for pages; `None`: none is kept, or its size is unknown."""
    (pod, max_utilization), free = account.of, account.free_cores
    if page is None or pod.cores is None or free is None:
        return None
    pages = account.times(page) or 0
    # With any job on it, an idle pod is a busy one: a page that needs all its CPUs fits no more.
    left = free if account.jobs else pod.cores * max_utilization
    return PageRoom(pages, max(0.0, left - pages * page.cores), wanted)


@value
class WorkerView:
    """A pod that may be given work, as placement sees it."""

    name: str
    uid: str
    cores: float | None
    """CPUs of the pod; `None`: unknown."""
    free_cores: float | None
    """CPUs that the next job may take; `None`: unknown."""
    jobs: int
    known: bool = True
    """Whether all that runs there is known; else only what was placed from here."""
    measured: bool = True
    """Whether it has lately told its load itself."""
    refused_lately: bool = False
    """Whether it lately would not bid: it is tried when nobody else is left."""
    rest: Rest = NOTHING_TAKEN
    """What is left of it beside its CPUs."""
    new_jobs: bool = False
    """Whether it was given a job a moment ago."""
    page_room: PageRoom | None = None
    """`None`: none is kept."""
    closed: Closed | None = None
    """Why it takes no job, by its own word."""
    counts: Placement | None = None
    """What it counts jobs by; `None`: as its fleet does."""

    @property
    def idle(self) -> bool:
        """Whether it runs nothing."""
        return self.jobs == 0

    def fits(self, need: Need) -> bool:
        """Whether it will take a job that needs so much by its fleet, as far as is known."""
        return self.closed is None and self.has_cores(need) and self.lacks(need) is None

    def has_cores(self, need: Need) -> bool:
        """Whether it has the CPUs for a job, or as many as nobody knows."""
        return self.free_cores is None or self.free_cores >= need.by(self.counts).cores

    def lacks(self, need: Need) -> Lack | None:
        """What a job does not find beside CPUs; `None`: nothing."""
        return self.rest.lacks(need.by(self.counts))

    @property
    def free_share(self) -> float:
        """The free part of its CPUs, 0 to 1; 0 when unknown."""
        return self.free_cores / self.cores if self.cores and self.free_cores else 0.0


Key = tuple[bool | float | str, ...]


class TakesRoom(IntEnum):
    """What a small job takes of the room for pages, by pod; the least is best."""

    NONE = 0
    """As many pages fit beside it as before."""
    NONE_OF_IDLE = 1
    """The same, on a pod that runs nothing yet."""
    SOME = 2
    """One page fewer fits; or jobs come at the same moment, and are spread."""
    LAST = 3
    """No page fits any more, and there are pages."""


def _pack(pod: WorkerView, need: Need) -> Key:
    del need
    free = pod.free_cores if pod.free_cores is not None else 0.0
    return (pod.refused_lately, pod.free_cores is None, pod.idle, free, -pod.jobs, pod.name)


def _spread(pod: WorkerView, need: Need) -> Key:
    del need
    return (pod.refused_lately, pod.free_cores is None, -pod.free_share, pod.jobs, pod.name)


def _type_aware(pod: WorkerView, need: Need) -> Key:
    page = need.kind.needs_chrome
    takes = TakesRoom.SOME if page else _takes_room(pod, need)
    # What costs no page's room is filled up, so that the rest stays whole; else jobs are spread.
    share = pod.free_share if takes < TakesRoom.SOME else -pod.free_share
    first = (pod.refused_lately, pod.free_cores is None, takes, page and not pod.idle)
    return (*first, share, pod.jobs, pod.name)


def _takes_room(pod: WorkerView, need: Need) -> TakesRoom:
    """What a small job takes of a pod's room for pages.

    Among pods that are equal it comes to the same on each that has no new jobs, and to the same on
    each that has: so equal jobs that come together are spread evenly.
    """
    room = pod.page_room
    if room is None:
        return TakesRoom.SOME
    costs_one = need.by(pod.counts).cores > room.spare_cores
    if costs_one and room.pages == 1 and room.wanted:
        return TakesRoom.LAST
    if costs_one or pod.new_jobs:
        return TakesRoom.SOME
    return TakesRoom.NONE_OF_IDLE if pod.idle else TakesRoom.NONE


KEYS: Final[Mapping[Mode, Callable[[WorkerView, Need], Key]]] = {
    Mode.PACK: _pack,
    Mode.SPREAD: _spread,
    Mode.TYPE_AWARE: _type_aware,
}
"""The order of each mode: the smallest key gets the job."""


def choose(
    pods: Iterable[WorkerView], need: Need, mode: Mode, chance: random.Random
) -> WorkerView | None:
    """The pod that gets a job which needs so much; `None` when it fits nowhere."""
    fitting = [pod for pod in pods if pod.fits(need)]
    known = [pod for pod in fitting if pod.known]
    unknown = sorted((pod for pod in fitting if not pod.known), key=lambda pod: pod.name)
    if len(unknown) > CHOICES:
        unknown = chance.sample(unknown, CHOICES)
    key = KEYS[mode]
    return min(known + unknown, key=lambda pod: key(pod, need), default=None)


class Refusal(StrEnum):
    """Why a job is placed nowhere."""

    NO_CAPACITY = "NoCapacity"
    NO_MEMORY = "NoMemory"
    """Pods that have the CPUs lack memory."""
    NO_PULSE_CLIENTS = "NoPulseClients"
    """Pods that have the CPUs lack PulseAudio clients."""
    NO_TYPE_CAPACITY = "NoTypeCapacity"
    DRAINING = "Draining"


_OF_LACK: Final[Mapping[Lack, Refusal]] = {
    Lack.MEMORY: Refusal.NO_MEMORY,
    Lack.PULSE_CLIENTS: Refusal.NO_PULSE_CLIENTS,
}


def short_of(pods: Iterable[WorkerView], need: Need) -> Refusal:
    """What the pods lack that have the CPUs: one thing if all lack the same, else capacity."""
    lacks = {pod.lacks(need) for pod in pods if pod.closed is None and pod.has_cores(need)}
    (only,) = lacks if len(lacks) == 1 else (None,)
    return _OF_LACK.get(only, Refusal.NO_CAPACITY) if only else Refusal.NO_CAPACITY


def why_nowhere(
    states: Iterable[PodState], ever_fits: bool, short: Refusal = Refusal.NO_CAPACITY
) -> Refusal:
    """Why a job fits nowhere.

    Takes the states of all pods that could take its type, and whether it would fit any of them, or
    one yet to come, with nothing on it; `short`: what those with the CPUs lack.
    """
    if not ever_fits:
        return Refusal.NO_TYPE_CAPACITY
    present = set(states)
    if PodState.DRAINING in present and PodState.READY not in present:
        return Refusal.DRAINING
    return short

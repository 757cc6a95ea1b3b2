"""Who makes any rule of placing use a quarter more pods than foresight needs.

It fills pods with tracks, lets all but two of each pod end, and then asks for pages: two fit beside
two tracks, where three fit on an empty pod. Who had known which tracks stay would have put those
together. The argument: docs/adr/0040-packing-bound.md.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.simulate.placers import DeskPlacer
from mediafleet_scheduler.simulate.pods import entry, fleet
from mediafleet_scheduler.simulate.setup import Placing, Setup
from mediafleet_scheduler.simulate.traces import TraceJob

TRACK, PAGE = RequestType.TRACK, RequestType.WEB
SETUP: Final = Setup(cpu=16.0)
_ROOM: Final = SETUP.cpu * SETUP.max_cpu_utilization
_SMALL, _LARGE = SETUP.costs.of(TRACK), SETUP.costs.of(PAGE)
TRACKS: Final = int(_ROOM / _SMALL)
"""That fill a pod."""
PAGES: Final = int(_ROOM / _LARGE)
STAY: Final = math.floor((_ROOM - PAGES * _LARGE) / _SMALL) + 1
"""Tracks beside which one page fewer has room."""


class Rule(Protocol):
    """Gives each job a pod for good, and does not know what comes."""

    def place(self, number: int, kind: RequestType) -> int:
        """The pod of a job."""

    def end(self, number: int) -> None:
        """A job is over."""


@dataclass(frozen=True, slots=True)
class Forced:
    """What a rule was brought to."""

    used: int
    """Pods that had jobs at once, at most."""
    moments: Sequence[Sequence[float]]
    """Costs of the jobs that ran at the three fullest moments."""
    enough: int
    """Pods that do all of it without moving a job, for one who knows what comes."""


def forced(rule: Rule, pods: int) -> Forced:
    """Bring a rule to use more than `pods`."""
    held: dict[int, list[int]] = defaultdict(list)
    tracks = range(TRACKS * pods)
    for number in tracks:
        held[rule.place(number, TRACK)].append(number)
    used = len(held)
    kept = {pod: jobs[:STAY] for pod, jobs in held.items() if len(jobs) >= STAY}
    staying = {number for jobs in kept.values() for number in jobs}
    for number in tracks:
        if number not in staying:
            rule.end(number)
    together = math.ceil(len(staying) / TRACKS)
    pages = PAGES * (pods - together)
    busy = set(kept)
    for number in range(len(tracks), len(tracks) + pages):
        busy.add(rule.place(number, PAGE))
    after = [_SMALL] * len(staying)
    moments = ([_SMALL] * len(tracks), after, after + [_LARGE] * pages)
    return Forced(max(used, len(busy)), moments, max(pods, together + math.ceil(pages / PAGES)))


class DeskRule:
    """The desk's own, on as many idle pods as it likes."""

    def __init__(self, placing: Placing, pods: int) -> None:
        setup = Setup(pods=2 * pods, cpu=SETUP.cpu)
        self._pods = fleet(setup)
        self._numbers = {each.pod.uid: number for number, each in enumerate(self._pods)}
        self._placer = DeskPlacer(self._pods, setup, placing, random.Random(1))
        self._now = 0.0

    def place(self, number: int, kind: RequestType) -> int:
        """As the desk chooses."""
        self._now += 10.0
        job = TraceJob(self._now, kind, 1e9)
        uid = self._placer.offer(job, self._now, ()).pod
        assert uid is not None, "there are pods enough"
        pod = self._numbers[uid]
        chosen = self._pods[pod]
        noted = entry(number, job, chosen.pod, chosen.needs[kind].cores, self._now)
        self._placer.claimed(noted)
        self._placer.started(noted.egress_id, self._now)
        return pod

    def end(self, number: int) -> None:
        """The place is free."""
        self._placer.gone(f"EG_{number}")


Choose = Callable[[Mapping[int, float], list[int]], int]
"""Of the CPUs taken of each open pod, and the open pods that have room: which."""


class OpenRule:
    """A rule of the textbooks: an open pod that has room, else a new one."""

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self._taken: dict[int, float] = {}
        self._jobs: dict[int, tuple[int, float]] = {}
        self._opened = 0

    def place(self, number: int, kind: RequestType) -> int:
        """Where `choose` says."""
        cost = SETUP.costs.of(kind)
        room = [pod for pod, taken in self._taken.items() if taken + cost <= _ROOM + 1e-9]
        if room:
            pod = self._choose(self._taken, room)
        else:
            pod, self._opened = self._opened, self._opened + 1
        self._taken[pod] = self._taken.get(pod, 0.0) + cost
        self._jobs[number] = (pod, cost)
        return pod

    def end(self, number: int) -> None:
        """A pod without jobs is open no more."""
        pod, cost = self._jobs.pop(number)
        self._taken[pod] -= cost
        if self._taken[pod] < 1e-9:
            del self._taken[pod]


def first_fit(taken: Mapping[int, float], room: list[int]) -> int:
    """The pod that was opened first."""
    return min(room)


def best_fit(taken: Mapping[int, float], room: list[int]) -> int:
    """The fullest."""
    return max(room, key=lambda pod: (taken[pod], -pod))


def worst_fit(taken: Mapping[int, float], room: list[int]) -> int:
    """The emptiest."""
    return min(room, key=lambda pod: (taken[pod], pod))

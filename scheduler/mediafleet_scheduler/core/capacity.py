"""What still fits: how many more jobs of each type a fleet takes now, and one empty pod. Pure.

Each type is counted by itself, as if nothing else came, by the rule the pods admit by
(core/accounts.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mediafleet_common.api.egress_fleet import Placement, RequestType
from mediafleet_common.api.names import PodState
from mediafleet_scheduler.core.accounts import free_cores
from mediafleet_scheduler.core.ledger import Ledger, Pod
from mediafleet_scheduler.core.resources import Need, Rest, need_of, rest, rules_of
from mediafleet_scheduler.core.views import Fleet

Counts = Mapping[RequestType, int]


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a fleet takes, by accepted type."""

    free: Counts | None
    """How many more fit on the ready pods now; `None`: the size of one of them is unknown."""
    each: Counts | None
    """How many one empty pod takes; `None`: the size of a pod is unknown."""


def capacity(fleet: Fleet, ledger: Ledger, now: float) -> Capacity:
    """What a fleet takes at this moment; `now` is Unix time."""
    placement, rules = fleet.placement, rules_of(fleet.placement)
    needs = [need_of(kind, placement) for kind in sorted(fleet.accepts)]
    free: dict[RequestType, int] | None = {need.kind: 0 for need in needs}
    for worker in fleet.workers:
        if worker.state is not PodState.READY or free is None:
            continue
        pod = Pod(worker.name, worker.uid, worker.cpu_cores, rules)
        account = ledger.account(pod, placement.max_cpu_utilization, now)
        if pod.cores is None or account.free_cores is None:
            free = None
            continue
        room = _Room(placement, pod.cores, account.free_cores, account.rest, account.jobs == 0)
        for need in needs:
            free[need.kind] += room.times(need)
    return Capacity(free, _of_empty(fleet, needs))


def _of_empty(fleet: Fleet, needs: list[Need]) -> Counts | None:
    size = pod_cores(fleet)
    if size is None:
        return None
    left = rest(rules_of(fleet.placement), (), None, 0.0)
    room = _Room(fleet.placement, size, size, left, idle=True)
    return {need.kind: room.times(need) for need in needs}


@dataclass(frozen=True, slots=True)
class _Room:
    """What a pod has for jobs to come."""

    placement: Placement
    cores: float
    free_cores: float
    rest: Rest
    idle: bool

    def times(self, need: Need) -> int:
        """How many such jobs fit."""
        left, first = self.free_cores, 0
        if self.idle:
            # The first job alone may fill the whole pod; from then on it is a busy one.
            first = int(need.cores <= self.cores)
            utilization = self.placement.max_cpu_utilization
            left = free_cores(self.cores, utilization, 1, need.cores) if first else 0.0
        by_cores = first + max(0, math.floor(left / need.cores))
        return int(min(by_cores, self.rest.times(need)))


def ever_fits(fleet: Fleet, need: Need) -> bool:
    """Whether a job fits some pod of a fleet, or one yet to come, as far as is known."""
    sizes = {worker.cpu_cores for worker in fleet.workers}
    if fleet.pod_cores is not None or not sizes:
        sizes.add(fleet.pod_cores)
    large_enough = any(size is None or size >= need.cores for size in sizes)
    return large_enough and rest(rules_of(fleet.placement), (), None, 0.0).fits(need)


def pod_cores(fleet: Fleet) -> float | None:
    """CPUs of one pod of a fleet; of several sizes the smallest. `None`: unknown."""
    if fleet.placement.cpu is not None:
        return fleet.placement.cpu
    if fleet.pod_cores is not None:
        return fleet.pod_cores
    sizes = [worker.cpu_cores for worker in fleet.workers]
    known = [size for size in sizes if size is not None]
    return min(known) if known and len(known) == len(sizes) else None

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
from mediafleet_scheduler.core.ledger import Account, Ledger, Pod
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
    placement, kinds = fleet.placement, sorted(fleet.accepts)
    size = pod_cores(fleet)
    each = None if size is None else _fitting(fleet.placement, kinds, size, size, idle=True)
    free: dict[RequestType, int] = dict.fromkeys(kinds, 0)
    for worker in fleet.workers:
        if worker.state is not PodState.READY:
            continue
        pod = Pod(worker.name, worker.uid, worker.cpu_cores)
        account = ledger.account(pod, placement.max_cpu_utilization, now)
        counts = _of_pod(placement, kinds, account)
        if counts is None:
            return Capacity(None, each)
        for kind, count in counts.items():
            free[kind] += count
    return Capacity(free, each)


def pod_cores(fleet: Fleet) -> float | None:
    """CPUs of one pod of a fleet; of several sizes the smallest. `None`: unknown."""
    if fleet.placement.cpu is not None:
        return fleet.placement.cpu
    if fleet.pod_cores is not None:
        return fleet.pod_cores
    sizes = [worker.cpu_cores for worker in fleet.workers]
    known = [size for size in sizes if size is not None]
    return min(known) if known and len(known) == len(sizes) else None


def _of_pod(placement: Placement, kinds: list[RequestType], account: Account) -> Counts | None:
    cores, free = account.of[0].cores, account.free_cores
    if cores is None or free is None:
        return None
    return _fitting(placement, kinds, cores, free, idle=account.jobs == 0)


def _fitting(
    placement: Placement, kinds: list[RequestType], cores: float, free: float, *, idle: bool
) -> Counts:
    """How many of each type fit on a pod that has so much free."""
    counts: dict[RequestType, int] = {}
    for kind in kinds:
        cost = placement.cpu_cost.of(kind)
        left, first = free, 0
        if idle:
            # The first job alone may fill the whole pod; from then on it is a busy one.
            first = int(cost <= cores)
            left = free_cores(cores, placement.max_cpu_utilization, 1, cost) if first else 0.0
        counts[kind] = first + max(0, math.floor(left / cost))
    return counts

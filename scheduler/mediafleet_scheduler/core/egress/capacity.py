"""What still fits: how many more jobs of each type a fleet takes now, and one empty pod. Pure.

Each type is counted by itself, as if nothing else came, by the rule the pods admit by
(core/egress/accounting/accounts.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.names import PodState
from mediafleet_scheduler.core.egress.accounting.ledger import Account, Ledger, Pod
from mediafleet_scheduler.core.egress.accounting.resources import (
    Need,
    need_of,
    rest,
    rules_of,
)
from mediafleet_scheduler.core.egress.views import Fleet, Worker

Counts = Mapping[RequestType, int]


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a fleet takes, by accepted type."""

    free: Counts | None
    """How many more fit on the ready pods now; `None`: the size of one of them is unknown."""
    each: Counts | None
    """How many one empty pod takes; `None`: the size of a pod is unknown."""


def pod_of(fleet: Fleet, worker: Worker) -> Pod:
    """A worker of a fleet, as far as what jobs take of it goes."""
    return Pod(worker.name, worker.uid, worker.cpu_cores, rules_of(fleet.counts(worker)))


def account_of(fleet: Fleet, worker: Worker, ledger: Ledger, now: float) -> Account:
    """What is left of a worker, as it counts itself."""
    utilization = fleet.counts(worker).max_cpu_utilization
    return ledger.account(pod_of(fleet, worker), utilization, now)


def capacity(fleet: Fleet, ledger: Ledger, now: float) -> Capacity:
    """What a fleet takes at this moment; `now` is Unix time."""
    needs = [need_of(kind, fleet.placement) for kind in sorted(fleet.accepts)]
    free: dict[RequestType, int] | None = {need.kind: 0 for need in needs}
    for worker in fleet.workers:
        if worker.state is not PodState.READY or free is None:
            continue
        account = account_of(fleet, worker, ledger, now)
        for need in needs:
            times = account.times(need.by(worker.counts))
            if times is None:
                free = None
                break
            free[need.kind] += times
    return Capacity(free, _of_empty(fleet, needs))


def _of_empty(fleet: Fleet, needs: list[Need]) -> Counts | None:
    size = pod_cores(fleet)
    if size is None:
        return None
    pod = Pod("", "", size, rules_of(fleet.placement))
    empty = Ledger().account(pod, fleet.placement.max_cpu_utilization, 0.0)
    return {need.kind: empty.times(need) or 0 for need in needs}


def ever_fits(fleet: Fleet, need: Need) -> bool:
    """Whether a job fits some pod of a fleet, or one yet to come, as far as is known."""
    sizes = {(worker.cpu_cores, need.by(worker.counts).cores) for worker in fleet.workers}
    if fleet.pod_cores is not None or not sizes:
        sizes.add((fleet.pod_cores, need.cores))
    large_enough = any(size is None or size >= cores for size, cores in sizes)
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

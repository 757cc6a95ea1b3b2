"""Demand of an egress fleet by the ledger. What is not known is said to be; it is never 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.names import Kind, PodState
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_common.scaling.unknown import silence, unknown
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.capacity import Counts, account_of, capacity, pod_cores
from mediafleet_scheduler.core.egress.queue import of_fleet
from mediafleet_scheduler.core.egress.views import Fleet, Worker
from mediafleet_scheduler.core.scaling.away import is_away


def egress_demand(fleet: Fleet, ledger: Ledger, complete: bool, now: float) -> FleetDemand:
    """The demand of an egress fleet by the ledger; `now` is Unix time.

    `complete` says that the ledger surely holds every job of every pod. Else each pod that is or
    was ready must have told its load lately. Jobs on pods that are not ready any more are work like
    any other; only room there is none on them. The same goes for pods that say that they take
    nothing.
    """
    staying = [each for each in fleet.workers if each.state is not PodState.DRAINING]
    accounts = {each.uid: account_of(fleet, each, ledger, now) for each in staying}
    ready: list[Worker] = []
    unready: list[Worker] = []
    for each in staying:
        takes = each.state is PodState.READY and accounts[each.uid].closed is None
        (ready if takes else unready).append(each)
    silent = [
        each.name
        for each in (*ready, *filter(is_away, unready))
        if not (complete or accounts[each.uid].measured)
    ]
    if silent:
        reason = silence(silent, "has not told its load lately")
        return unknown(Kind.EGRESS_FLEET, fleet.namespace, fleet.name, reason, now)
    fits, cores = capacity(fleet, ledger, now), pod_cores(fleet)
    utilization = fleet.placement.max_cpu_utilization
    size = None if cores is None or fits.free is None else cores * utilization
    costs = _Costs(fleet, size, fits.each or {})
    waiting = of_fleet(ledger.waiting.values(), fleet.key, now)
    jobs = {uid: account.jobs for uid, account in accounts.items()}
    return FleetDemand(
        kind=Kind.EGRESS_FLEET,
        namespace=fleet.namespace,
        name=fleet.name,
        known=True,
        at=now,
        ready=len(ready),
        busy=sum(count > 0 for count in jobs.values()),
        away=sum(jobs[each.uid] > 0 for each in unready),
        work=sum(jobs.values()),
        leaving=_leaving(fleet, ledger),
        used=float(sum(costs.on(ledger.on(uid), count) for uid, count in jobs.items())),
        size=size,
        free={} if size is None else _counts(fits.free),
        each={} if size is None else _counts(fits.each),
        queued=_counts(Counter(each.kind for each in waiting)),
        queued_cost=float(sum(costs.of(each.kind) for each in waiting)),
        refused=_counts(ledger.refused_for_good(fleet.key, now)),
        forecast=fleet.forecast,
    )


def _leaving(fleet: Fleet, ledger: Ledger) -> int:
    """Jobs that are known of on draining pods; these may not tell their load any more."""
    draining = (each for each in fleet.workers if each.state is PodState.DRAINING)
    return sum(len(ledger.on(each.uid)) for each in draining)


@dataclass(frozen=True, slots=True)
class _Costs:
    """What jobs take of a pod, in CPUs: a type of which three fit takes a third of a pod, be it
    for its CPU, its memory or a limit of the fleet."""

    fleet: Fleet
    size: float | None
    each: Counts

    def of(self, kind: RequestType) -> float:
        """One job of a type."""
        if self.size is None:
            return self.fleet.placement.cpu_cost.of(kind)
        return self.size / max(1, self.each.get(kind, 1))

    def on(self, jobs: Mapping[str, Job], count: int) -> float:
        """A pod's jobs: those of the ledger, and up to `count` that it does not have, which cost
        the most. A pod that is full is one pod."""
        used = sum(self.of(job.kind) for job in jobs.values())
        if (unseen := count - len(jobs)) > 0:
            used += unseen * max(self.of(kind) for kind in self.fleet.accepts or RequestType)
        return used if self.size is None else min(used, self.size)


def _counts(counts: Counts | None) -> dict[str, int]:
    return {kind.value: counts[kind] for kind in sorted(counts)} if counts else {}

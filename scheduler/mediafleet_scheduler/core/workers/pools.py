"""AIWorkerPools as a broker sees them: whose pod a worker is, whether it drains, and the demand.

A worker in a pod names the pod and its uid when it registers. It is believed where a pod of the
pool has both; until one is seen, and until that one is ready, it is given nothing: the operator
deletes pods that were never ready without a drain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mediafleet_common.api.names import Kind, PodState
from mediafleet_common.reports.demand import FleetDemand, ModelDemand
from mediafleet_scheduler.core.workers.views import InPool, Target, Worker


@dataclass(frozen=True, slots=True)
class PoolPod:
    """A pod of a pool."""

    name: str
    uid: str
    state: PodState


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """An AIWorkerPool and its pods."""

    namespace: str
    name: str
    models: Mapping[Target, int]
    """Tasks that one pod takes at a time, by model."""
    pods: tuple[PoolPod, ...]
    forecast: int | None = None
    """Pods that the operator's forecast wants; `None`: unknown, or there is none."""


@dataclass(frozen=True, slots=True)
class WorkerPools:
    """All that a broker may see."""

    pools: tuple[WorkerPool, ...] = ()

    def pod_of(self, worker: Worker) -> PoolPod | None:
        """The pod that a worker is in; `None`: it names none, or none that we see."""
        found = self._found(worker)
        return None if found is None else found[1]

    def place_of(self, worker: Worker) -> InPool | None:
        """The same, for people."""
        found = self._found(worker)
        return None if found is None else InPool(worker.name or "", found[0].name)

    def _found(self, worker: Worker) -> tuple[WorkerPool, PoolPod] | None:
        if worker.name is None or worker.instance is None:
            return None
        for pool in self.pools:
            for pod in pool.pods:
                if pod.uid == worker.instance and f"{pool.namespace}/{pod.name}" == worker.name:
                    return pool, pod
        return None


def held(worker: Worker, view: WorkerPools | None) -> bool:
    """Whether a worker is given no tasks: it says that it is a pod, and no Ready one is seen."""
    if worker.instance is None:
        return False
    pod = None if view is None else view.pod_of(worker)
    return pod is None or pod.state is not PodState.READY


@dataclass(frozen=True, slots=True)
class Use:
    """What a broker knows of tasks, by functions of its dispatcher."""

    load: Callable[[str, Target | None], int]
    """Tasks of a worker, of one model or of all."""
    waiting: Callable[[Target], int]
    missed: Callable[[Target], int]


def demand(pool: WorkerPool, workers: Iterable[Worker], use: Use, now: float) -> FleetDemand:
    """Demand and capacity of a pool. Tasks that wait for a model count for each pool with it."""
    by_uid = {pod.uid: pod for pod in pool.pods}
    ours: list[tuple[PodState, Worker]] = []
    others: list[Worker] = []
    for worker in workers:
        pod = by_uid.get(worker.instance or "")
        if pod is not None and worker.name == f"{pool.namespace}/{pod.name}":
            ours.append((pod.state, worker))
        else:
            others.append(worker)
    ready = [each for state, each in ours if state is PodState.READY]
    away = [
        each for state, each in ours if state is PodState.PENDING and use.load(each.id, None) > 0
    ]
    draining = [each for state, each in ours if state is PodState.DRAINING]
    counted = [*ready, *away]
    waiting = {target: use.waiting(target) for target in pool.models}
    work = sum(use.load(each.id, None) for each in counted)
    return FleetDemand(
        kind=Kind.AI_WORKER_POOL,
        namespace=pool.namespace,
        name=pool.name,
        known=True,
        at=now,
        ready=len(ready),
        busy=sum(use.load(each.id, None) > 0 for each in counted),
        away=len(away),
        work=work,
        leaving=sum(use.load(each.id, None) for each in draining),
        used=float(work),
        size=float(sum(pool.models.values())),
        free={str(target): _free(target, ready, use) for target in pool.models},
        each={str(target): capacity for target, capacity in pool.models.items()},
        queued={str(target): count for target, count in waiting.items() if count},
        queued_cost=float(sum(waiting.values())),
        forecast=pool.forecast,
        own_room=True,
        workers=len(ours),
        models={
            str(target): ModelDemand(
                capacity=sum(_capacity(each, target) for each in ready),
                in_use=sum(use.load(each.id, target) for each in ready),
                waiting=waiting[target],
                missed=use.missed(target),
                other_workers=sum(target in each.offers for each in others),
            )
            for target in pool.models
        },
    )


def unknown(pool: WorkerPool, why: str, now: float) -> FleetDemand:
    """The demand of a pool that nobody knows."""
    return FleetDemand(
        kind=Kind.AI_WORKER_POOL,
        namespace=pool.namespace,
        name=pool.name,
        known=False,
        reason=why,
        at=now,
    )


def _capacity(worker: Worker, target: Target) -> int:
    offer = worker.offers.get(target)
    return 0 if offer is None else offer.capacity


def _free(target: Target, ready: Iterable[Worker], use: Use) -> int:
    return sum(max(0, _capacity(each, target) - use.load(each.id, target)) for each in ready)

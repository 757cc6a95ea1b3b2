"""What could be done at best: bounds and oracles that placing is measured by. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from mediafleet_common.probes.load import Load
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Pod
from mediafleet_scheduler.core.egress.accounting.resources import Need
from mediafleet_scheduler.core.egress.placement.modes import WorkerView, choose
from mediafleet_scheduler.simulate.placers import Offer
from mediafleet_scheduler.simulate.pods import SimulatedPod
from mediafleet_scheduler.simulate.setup import Outcome, Placing, Setup
from mediafleet_scheduler.simulate.traces import TraceJob


def fewest_pods(costs: Iterable[float], setup: Setup) -> int:
    """No placing whatever does with fewer pods for jobs that run at the same time.

    Jobs that cannot share a pod, and as many pods more as the small ones need beside them (the
    bound L2 of Martello and Toth). A pod may hold one job of all its CPUs, or several of
    `max_cpu_utilization` of them.
    """
    room = setup.cpu * setup.max_cpu_utilization
    costs = sorted(costs)
    best = 0
    for least in {0.0, *(cost for cost in costs if cost <= room / 2)}:
        alone = [cost for cost in costs if cost > room - least]
        large = [cost for cost in costs if room / 2 < cost <= room - least]
        small = sum(cost for cost in costs if least <= cost <= room / 2)
        beside = len(large) * room - sum(large)
        more = max(0, math.ceil((small - beside) / room - 1e-9))
        best = max(best, len(alone) + len(large) + more)
    return best


def fewest_pods_ever(outcomes: Sequence[Outcome], setup: Setup) -> int:
    """The bound at the worst moment of a run, over the jobs that were placed."""
    steps: list[tuple[float, int, float]] = []
    for each in outcomes:
        if each.began is not None and each.ended is not None:
            cost = setup.costs.of(each.job.kind)
            steps += [(each.began, 1, cost), (each.ended, 0, cost)]
    running: list[float] = []
    best = 0
    for _, begins, cost in sorted(steps):
        if not begins:
            running.remove(cost)
            continue
        running.append(cost)
        # What is not more in sum nor in number than the bound so far needs no look.
        if len(running) > best:
            best = max(best, fewest_pods(running, setup))
    return best


@dataclass(slots=True)
class _Booked:
    """A pod whose whole future is known."""

    setup: Setup
    jobs: list[tuple[float, float, float]] = field(default_factory=list)
    """Begin, end, CPUs."""

    def fits(self, begin: float, end: float, cost: float) -> bool:
        """Whether one more job is within what the pod may take, at every moment."""
        beside = [job for job in self.jobs if job[0] < end and begin < job[1]]
        if not beside:
            return cost <= self.setup.cpu
        room = self.setup.cpu * self.setup.max_cpu_utilization
        moments = [begin, *(job[0] for job in beside if job[0] > begin)]
        most = max(sum(job[2] for job in beside if job[0] <= at < job[1]) for at in moments)
        return most + cost <= room + 1e-9


def missed(outcomes: Sequence[Outcome], setup: Setup, kinds: Collection[str]) -> list[TraceJob]:
    """The jobs of some types that were refused, though with perfect foresight they had a place
    beside all that were placed.

    Foresight knows every job beforehand and books the large ones first. It finds most of what
    could be done, not all: a job that even it cannot place counts as no fault.
    """
    pods = [_Booked(setup) for _ in range(setup.pods)]
    refused = [each for each in outcomes if each.pod is None and each.job.kind in kinds]
    if not refused:
        return []
    placed = [each for each in outcomes if each.pod is not None]
    found: list[Outcome] = []
    for each in refused:
        if _all_fit([*placed, *found, each], pods, setup):
            found.append(each)
    return [each.job for each in found]


def _all_fit(wanted: Sequence[Outcome], pods: Sequence[_Booked], setup: Setup) -> bool:
    for pod in pods:
        pod.jobs.clear()

    def cost(each: Outcome) -> float:
        return setup.costs.of(each.job.kind)

    def begin(each: Outcome) -> float:
        return each.job.at if each.began is None else each.began

    for each in sorted(wanted, key=lambda each: (-cost(each), begin(each))):
        span = (begin(each), begin(each) + each.job.seconds, cost(each))
        fitting = next((pod for pod in pods if pod.fits(*span)), None)
        if fitting is None:
            return False
        fitting.jobs.append(span)
    return True


class GreedyOracle:
    """The order of a mode over what each pod really runs at this moment: no pod refuses it, and it
    refuses nothing that a pod would take."""

    tries_others = True
    reads_metrics = False

    def __init__(
        self, pods: Sequence[SimulatedPod], setup: Setup, placing: Placing, chance: random.Random
    ) -> None:
        self._pods = pods
        self._setup = setup
        self._mode = placing.mode
        self._chance = chance

    def offer(self, job: TraceJob, now: float, refused_by: Collection[str]) -> Offer:
        """The first pod of the order that takes it."""
        del refused_by
        views = [
            WorkerView(
                name=each.pod.name,
                uid=each.pod.uid,
                cores=each.cores,
                free_cores=each.left(now)[0],
                jobs=len(each.running),
            )
            for each in self._pods
        ]
        need = Need(job.kind, self._setup.costs.of(job.kind))
        chosen = choose(views, need, self._mode, self._chance)
        return Offer(chosen.uid if chosen else None, 0.0)

    def claimed(self, job: Job) -> None:
        """Nothing to note."""

    def started(self, egress_id: str, at: float) -> None:
        """Nothing to note."""

    def gone(self, egress_id: str) -> None:
        """Nothing to note."""

    def turned_down(self, job: Job, now: float) -> None:
        """Nothing to note."""

    def measured(self, pod: Pod, load: Load, now: float) -> None:
        """Nothing to note."""

"""Who gives a job to a pod: our desk, or upstream's auction. Pure, chance comes in.

Both answer with the pods to try, in order, and after how long. The desk tries the next pod when
one refuses; the auction's client has to ask again.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Mode, Placement
from mediafleet_common.api.names import PodState
from mediafleet_common.probes.load import Load
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger, Pod
from mediafleet_scheduler.core.egress.accounting.resources import Need
from mediafleet_scheduler.core.egress.capacity import ever_fits
from mediafleet_scheduler.core.egress.placement import affinity
from mediafleet_scheduler.core.egress.placement.modes import Refusal, why_nowhere
from mediafleet_scheduler.core.egress.placement.order import Order
from mediafleet_scheduler.core.egress.views import Fleet, Worker
from mediafleet_scheduler.simulate.pods import SimulatedPod
from mediafleet_scheduler.simulate.setup import Placing, Setup
from mediafleet_scheduler.simulate.traces import TraceJob

HOP_SECONDS: Final = 0.001
"""A message between two processes through Redis."""
_REPLY_STEP_SECONDS: Final = 0.0002
_REPLY_SPREAD_SECONDS: Final = 0.0001
"""Redis tells subscribers one after the other, always in the same order, so the bids of idle pods
come in nearly that order too: one of 25 overtakes. So drawn, a burst on idle pods ends as it was
measured upstream: 49 of 51 jobs are sent to one pod."""
_PER_SPREAD: Final = 1 / _REPLY_SPREAD_SECONDS


@dataclass(frozen=True, slots=True)
class Offer:
    """Where a job is to be tried."""

    pod: str | None
    """`None`: nowhere."""
    after_seconds: float
    """From the request."""
    final: bool = False
    """Whether asking again is no use."""


class Placer(Protocol):
    """Decides where jobs go, and hears what becomes of them."""

    tries_others: bool
    """Whether a pod that refuses is followed by another without the client's asking again."""

    reads_metrics: bool
    """Whether it goes by the pods' metrics."""

    def offer(self, job: TraceJob, now: float, refused_by: Collection[str]) -> Offer:
        """Where a job that is asked for now is to be tried."""

    def claimed(self, job: Job) -> None:
        """It was given to a pod."""

    def started(self, egress_id: str, at: float) -> None:
        """The pod has answered that it runs."""

    def gone(self, egress_id: str) -> None:
        """It has ended, or the pod refused it."""

    def turned_down(self, job: Job, now: float) -> None:
        """Its pod has said that it has not enough CPUs; it is `gone`, too."""

    def measured(self, pod: Pod, load: Load, now: float) -> None:
        """A pod's metrics were read."""


class DeskPlacer:
    """The egress desk: its ledger and its order over pods, as in `core/`."""

    tries_others = True
    reads_metrics = True

    def __init__(
        self, pods: Sequence[SimulatedPod], setup: Setup, placing: Placing, chance: random.Random
    ) -> None:
        self._pods = pods
        self._setup = setup
        self._chance = chance
        self.ledger: Final = Ledger()
        self._news = self.ledger.watch()
        self._fleet = _fleet(pods, setup, placing.mode)
        self._order = Order(self._fleet, self.ledger)

    def offer(self, job: TraceJob, now: float, refused_by: Collection[str]) -> Offer:
        """The pod that the desk would choose."""
        need = self._pods[0].needs[job.kind]
        self._order.touch(self._news.take())
        # All that runs is known: nothing but the trace gives these pods work.
        uid = self._order.best(need, now, True, refused_by, (), self._chance)
        if uid is not None:
            return Offer(uid, 2 * HOP_SECONDS)
        why = why_nowhere([PodState.READY], ever_fits(self._fleet, need))
        return Offer(None, HOP_SECONDS, final=why is Refusal.NO_TYPE_CAPACITY)

    def claimed(self, job: Job) -> None:
        """The place is taken."""
        self.ledger.put(job)

    def started(self, egress_id: str, at: float) -> None:
        """The claim is confirmed."""
        self.ledger.start(egress_id, at, None)

    def gone(self, egress_id: str) -> None:
        """The place is free."""
        self.ledger.drop(egress_id)

    def turned_down(self, job: Job, now: float) -> None:
        """Its pod is full for such jobs, whatever was known of it."""
        self.ledger.refuse(job.worker_uid, job.cores, now)

    def measured(self, pod: Pod, load: Load, now: float) -> None:
        """The load is shared out among the jobs known."""
        self.ledger.measure(pod, load, self._setup.costs, now)


def _fleet(pods: Sequence[SimulatedPod], setup: Setup, mode: Mode) -> Fleet:
    """The pods as the directory would tell of them."""
    placement = Placement(
        mode=mode,
        cpu=setup.cpu,
        cpu_cost=setup.costs,
        max_cpu_utilization=setup.max_cpu_utilization,
        max_pulse_clients=setup.max_pulse_clients,
        memory=setup.memory,
    )
    workers = tuple(
        Worker(each.pod.name, each.pod.uid, each.pod.name, None, each.cores, None, PodState.READY)
        for each in pods
    )
    return Fleet("", "simulated", placement, frozenset(RequestType), None, workers)


class AuctionPlacer:
    """Stock pods that bid, and a client that waits for the best bid."""

    tries_others = False
    reads_metrics = False

    def __init__(
        self, pods: Sequence[SimulatedPod], setup: Setup, placing: Placing, chance: random.Random
    ) -> None:
        self._pods = pods
        self._setup = setup
        self._mode = placing.mode
        self._patched = placing is not Placing.UPSTREAM
        self._chance = chance
        # In `pack` a bid is the same until the pod changes.
        self._jittered = self._mode is not Mode.PACK
        order = list(range(len(pods)))
        chance.shuffle(order)
        self._ranked = list(zip(order, pods, strict=True))

    def offer(self, job: TraceJob, now: float, refused_by: Collection[str]) -> Offer:
        """The pod whose bid the client takes."""
        del refused_by  # The client asks all of them again.
        need = self._pods[0].needs[job.kind]
        random, jittered = self._chance.random, self._jittered
        bids = []
        # Each pod bids for each job, so that all of it stands here: nothing is called for a pod of
        # which nothing has changed but what is left to chance.
        for rank, each in self._ranked:
            jitter = random()
            if each.counts_until <= now:
                each.left(now)
            score = each.scores.get(need.kind)
            if score is None:
                score = each.scores[need.kind] = self._score(each, need, now)
            if jittered and score >= 0:
                score = self._score(each, need, now, jitter)
                if self._patched:
                    each.pending = each.pending.made(now)
            # As `expovariate` does.
            late = rank * _REPLY_STEP_SECONDS - math.log(1.0 - random()) / _PER_SPREAD
            if score >= 0:
                bids.append(affinity.Bid(each.pod.uid, score, 2 * HOP_SECONDS + late))
        chosen = affinity.select(bids)
        if chosen is None:
            return Offer(None, affinity.LONGEST_WAIT_SECONDS)
        return Offer(chosen.pod, chosen.after_seconds + HOP_SECONDS)

    def _score(self, each: SimulatedPod, need: Need, now: float, jitter: float = 0.0) -> float:
        return affinity.bid(
            each.bidder(need, now),
            need.cores,
            need.kind.needs_chrome,
            self._mode,
            track_cores=self._setup.costs.track,
            jitter=jitter,
        )

    def claimed(self, job: Job) -> None:
        """Nobody keeps a book."""

    def started(self, egress_id: str, at: float) -> None:
        """Nobody keeps a book."""

    def gone(self, egress_id: str) -> None:
        """Nobody keeps a book."""

    def turned_down(self, job: Job, now: float) -> None:
        """Nobody keeps a book."""

    def measured(self, pod: Pod, load: Load, now: float) -> None:
        """Nobody reads metrics."""


def placer(
    pods: Sequence[SimulatedPod], setup: Setup, placing: Placing, chance: random.Random
) -> Placer:
    """The placer that a name stands for."""
    kind = DeskPlacer if placing.by_desk else AuctionPlacer
    return kind(pods, setup, placing, chance)

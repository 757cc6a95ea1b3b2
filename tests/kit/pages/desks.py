"""Desks with pages to look at: the product's own routes and rules, on fleets that are drawn."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Final

from prometheus_client import CollectorRegistry

from mediafleet_common.api.egress.costs import CpuCost, RequestType
from mediafleet_common.api.egress.placement import Mode, Placement
from mediafleet_common.api.names import DrainReason, PodState
from mediafleet_common.clock import SYSTEM
from mediafleet_common.pages.site import Site, View
from mediafleet_common.probes.load import Load
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_common.serving.access import Access
from mediafleet_common.serving.http import HttpServer
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.queue import Waiting
from mediafleet_scheduler.core.egress.views import EgressView, Fleet, Worker
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.places.pods import Pods
from mediafleet_scheduler.egress.places.quarantine import Quarantine
from mediafleet_scheduler.egress.process.explanation import costs_route, explain_route
from mediafleet_scheduler.egress.process.page import page_text
from mediafleet_scheduler.scaler.outlook import Outlook
from mediafleet_scheduler.scaler.server import demand_route, history_route

CPUS: Final = 12.0
_LONG_SECONDS: Final = 3600.0
_KINDS: Final = (
    *(RequestType.TRACK,) * 6,
    *(RequestType.PARTICIPANT, RequestType.TRACK_COMPOSITE, RequestType.AUDIO_WEB) * 2,
    RequestType.WEB,
    RequestType.ROOM_COMPOSITE,
)


@dataclass
class EgressDesk:
    """A desk's branches, as its pages read them, without Redis."""

    ledger: Ledger = field(default_factory=Ledger)
    complaint: str | None = None
    """Why its Redis is not served."""
    demand: Sequence[FleetDemand] | None = ()
    """What the page of scaling shows."""
    port: int = 0
    _fleets: tuple[Fleet, ...] = ()
    _numbers: int = 0

    def __post_init__(self) -> None:
        quarantine = Quarantine(EgressMetrics(CollectorRegistry()), Settings().quarantine)
        self.pods = Pods(self.ledger, quarantine)
        self.outlook = Outlook(lambda: self.demand)
        self.outlook.look()

    def url(self, view: str) -> str:
        """Where a page is."""
        return f"http://127.0.0.1:{self.port}/ui/#{view}"

    def have(self, *fleets: Fleet) -> None:
        """These are the fleets; each Ready pod tells its load."""
        self._fleets = fleets
        self.pods.follow(EgressView(fleets))

    def place(self, fleet: Fleet, worker: Worker, kind: RequestType, started: bool = True) -> Job:
        """A job on a pod."""
        self._numbers += 1
        now = time.time()
        job = Job(
            egress_id=f"EG_{self._numbers:06}",
            fleet=fleet.key,
            worker=worker.name,
            worker_uid=worker.uid,
            cluster_id=worker.cluster_id,
            kind=kind,
            cores=CpuCost().of(kind),
            token="",
            claimed_at=now,
            started_at=now if started else None,
        )
        self.ledger.put(job)
        return job

    def wait(self, fleet: Fleet, kind: RequestType, many: int) -> None:
        """Requests without a place."""
        for number in range(many):
            entry = Waiting(f"EG_w{number}", fleet.key, kind, 4.0, "", time.time())
            self.ledger.wait(replace(entry, until=time.time() + 3600))

    def tell_loads(self, silent: Iterable[str] = ()) -> None:
        """Each Ready pod but the silent ones tells its load, as large as its jobs are."""
        # Tests take longer than a reading counts.
        now, quiet = time.time() + _LONG_SECONDS, set(silent)
        for uid, (_, worker) in self.pods.by_uid.items():
            if worker.state is PodState.PENDING or worker.name in quiet:
                continue
            jobs = self.ledger.on(uid).values()
            used = sum(job.cores for job in jobs)
            self.pods.read_load(uid, Load(jobs=len(jobs), cpu_load=used / CPUS), now)

    @property
    def fleets(self) -> tuple[Fleet, ...]:
        """The fleets there are."""
        return self._fleets

    @property
    def branches(self) -> Any:
        """As egress.process.branches.Branches."""
        service: Any = SimpleNamespace(
            ledger=self.ledger,
            pods=self.pods,
            clock=SYSTEM,
            complaint=None,
            confirmer=SimpleNamespace(unconfirmed=lambda fleet: _unconfirmed(fleet)),
        )
        branch = SimpleNamespace(
            fleets=SimpleNamespace(view=EgressView(self._fleets)),
            service=None if self.complaint else service,
            complaint=self.complaint,
        )
        services = [] if self.complaint else [service]
        return SimpleNamespace(all=(branch,), services=services, clock=SYSTEM)


def _unconfirmed(fleet: Fleet) -> dict[str, int | None]:
    return {each.name: 1 for each in fleet.workers if each.state is PodState.DRAINING}


class _Branches:
    """The present branches of a desk."""

    def __init__(self, desk: EgressDesk) -> None:
        self._desk = desk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._desk.branches, name)


@asynccontextmanager
async def egress_desk(access: Access | None = None) -> AsyncIterator[EgressDesk]:
    """A desk with its pages on a port of the loopback address."""
    desk = EgressDesk()
    branches: Any = _Branches(desk)
    site = Site([View.FLEETS, View.SCALING], lambda: page_text(branches))
    http = HttpServer(
        "127.0.0.1:0",
        lambda: None,
        routes=site.routes(),
        registry=CollectorRegistry(),
        reports=[
            explain_route(branches),
            costs_route(branches),
            demand_route(desk.outlook),
            history_route(desk.outlook),
            *site.reports(),
        ],
        access=access,
    )
    async with http:
        desk.port = http.port
        yield desk


def fleet(name: str, pods: int, mode: Mode = Mode.SPREAD, cpus: float = CPUS) -> Fleet:
    """A fleet of Ready pods."""
    workers = tuple(
        Worker(f"{name}-{n}", f"u-{name}-{n}", f"{name}-{n}", None, cpus, None, PodState.READY)
        for n in range(pods)
    )
    placement = Placement(mode=mode)
    return Fleet("media", name, placement, frozenset(RequestType), None, workers, cpus)


def busy(desk: EgressDesk, pods: int = 500, seed: int = 1) -> tuple[Fleet, ...]:
    """So many pods in two fleets: most have jobs, some drain, start, are silent or out."""
    draw = random.Random(seed)
    fleets = tuple(
        _with_trouble(fleet(name, many, mode))
        for name, many, mode in (
            ("recordings", pods * 4 // 5, Mode.TYPE_AWARE),
            ("previews", pods - pods * 4 // 5, Mode.PACK),
        )
    )
    desk.have(*fleets)
    for each in fleets:
        for worker in each.workers:
            if worker.state is PodState.PENDING:
                continue
            room = draw.choice((0.0, 4.0, 7.0, 9.6))
            while (kind := draw.choice(_KINDS)) and (cores := CpuCost().of(kind)) <= room:
                desk.place(each, worker, kind, started=draw.random() > 0.02)
                room -= cores
    desk.wait(fleets[0], RequestType.WEB, 3)
    desk.tell_loads(silent=[f"{fleets[0].name}-7"])
    return fleets


def _with_trouble(fleet: Fleet) -> Fleet:
    def changed(number: int, worker: Worker) -> Worker:
        if number % 25 == 3:
            return replace(worker, state=PodState.DRAINING, drain_reason=DrainReason.SCALE_DOWN)
        if number % 25 == 11:
            return replace(worker, state=PodState.PENDING)
        return worker

    return replace(fleet, workers=tuple(changed(n, w) for n, w in enumerate(fleet.workers)))

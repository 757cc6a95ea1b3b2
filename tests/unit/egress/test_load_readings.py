"""How often a desk asks pods for their load when they do not tell it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import Final

import pytest
from prometheus_client import CollectorRegistry

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.api.names import PodState
from mediafleet_common.clock import SYSTEM
from mediafleet_common.probes import http_client
from mediafleet_common.probes.http_client import Failure, NoLoad
from mediafleet_common.probes.load import Load
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.capacity import pod_of
from mediafleet_scheduler.core.egress.views import EgressView, Fleet, Worker
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.places.load_readings import Scraper
from mediafleet_scheduler.egress.places.pods import Pods
from mediafleet_scheduler.egress.places.quarantine import Quarantine

pytestmark = pytest.mark.looptime
EVERY: Final = 5.0
MOST: Final = 60.0
TOLD: Final = Load(jobs=0, cpu_load=0.0)
LOST: Final = NoLoad(Failure.TIMED_OUT, "lost")
PAUSES: Final = {
    # what comes of each look at a pod -> seconds after it until the next one
    "all is well": ([TOLD] * 3, [EVERY] * 3),
    "now and then one is lost": ([TOLD, LOST, LOST, TOLD, LOST], [EVERY] * 5),
    "the pod is gone": (
        [LOST] * 8,
        [EVERY, EVERY, 2 * EVERY, 4 * EVERY, 8 * EVERY, MOST, MOST, MOST],
    ),
    "it is back": ([LOST, LOST, LOST, LOST, TOLD], [EVERY, EVERY, 2 * EVERY, 4 * EVERY, EVERY]),
}


@pytest.mark.parametrize(("told", "pauses"), PAUSES.values(), ids=PAUSES)
async def test_a_pod_that_is_silent_for_long_is_asked_less_often(
    monkeypatch: pytest.MonkeyPatch, told: list[Load | NoLoad], pauses: list[float]
) -> None:
    asked: list[float] = []
    loop, coming = asyncio.get_running_loop(), iter([*told, TOLD])

    async def poll(*_: object) -> Load | NoLoad:
        asked.append(loop.time())
        return next(coming, TOLD)

    monkeypatch.setattr(http_client, "poll", poll)
    settings = Settings(scrape_every_seconds=EVERY, scrape_max_back_off_seconds=MOST)
    ledger, metrics = Ledger(), EgressMetrics(CollectorRegistry())
    pod = Worker("p", "u", "c", "http://p/metrics", 16.0, None, PodState.READY)
    fleet = Fleet("", "rec", Placement(), frozenset(RequestType), None, (pod,))
    async with Scraper(
        Pods(ledger, Quarantine(metrics, settings.quarantine)), metrics, settings, SYSTEM
    ) as scraper:
        scraper.follow([fleet])
        await asyncio.sleep(1.1 * sum(pauses) + 1)
    waited = [after - before for before, after in pairwise(asked)]
    # By chance a tenth more or less, so that pods are not all asked at once.
    assert waited[: len(pauses)] == [pytest.approx(pause, rel=0.11) for pause in pauses]


@pytest.mark.parametrize("sign", ["ready again", "a bid"])
async def test_a_pod_that_comes_back_is_asked_at_once(
    monkeypatch: pytest.MonkeyPatch, sign: str
) -> None:
    asked: list[float] = []
    loop = asyncio.get_running_loop()

    async def poll(*_: object) -> Load | NoLoad:
        asked.append(loop.time())
        return LOST

    monkeypatch.setattr(http_client, "poll", poll)
    settings = Settings(scrape_every_seconds=EVERY, scrape_max_back_off_seconds=MOST)
    ledger, metrics = Ledger(), EgressMetrics(CollectorRegistry())
    pod = Worker("p", "u", "c", "http://p/metrics", 16.0, None, PodState.READY)
    fleet = Fleet("", "rec", Placement(), frozenset(RequestType), None, (pod,))
    away = replace(fleet, workers=(replace(pod, state=PodState.PENDING),))
    async with Scraper(
        Pods(ledger, Quarantine(metrics, settings.quarantine)), metrics, settings, SYSTEM
    ) as scraper:
        scraper.follow([fleet])
        await asyncio.sleep(1.0)
        scraper.follow([away])
        await asyncio.sleep(6 * MOST)
        now = loop.time()
        if sign == "a bid":
            scraper.wake("u")
        else:
            scraper.follow([fleet])
        await asyncio.sleep(0.01)
    assert asked[-1] == pytest.approx(now, abs=0.01)


@pytest.mark.parametrize(("cluster_id", "jobs"), [("c", 3), (None, 3), ("another", 0)])
async def test_metrics_of_another_worker_are_not_taken_for_its_own(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    cluster_id: str | None,
    jobs: int,
) -> None:
    async def poll(*_: object) -> Load | NoLoad:
        return Load(jobs=3, jobs_by_type={"track": 3}, cluster_id=cluster_id)

    monkeypatch.setattr(http_client, "poll", poll)
    settings = Settings(scrape_every_seconds=EVERY)
    ledger, metrics = Ledger(), EgressMetrics(CollectorRegistry())
    worker = Worker("p", "u", "c", "http://p/metrics", 16.0, None, PodState.READY)
    fleet = Fleet("", "rec", Placement(), frozenset(RequestType), None, (worker,))
    pods = Pods(ledger, Quarantine(metrics, settings.quarantine))
    pods.follow(EgressView((fleet,)))
    async with Scraper(pods, metrics, settings, SYSTEM) as scraper:
        scraper.follow([fleet])
        await asyncio.sleep(3 * EVERY)
    account = ledger.account(pod_of(fleet, worker), 0.8, SYSTEM.unix())
    assert (account.jobs, account.measured) == (jobs, jobs > 0)
    assert ("another" in caplog.text) == (jobs == 0)


def test_a_worker_that_counts_otherwise_is_said_once_after_two_readings_alike(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics, settings = EgressMetrics(CollectorRegistry()), Settings()
    worker = Worker("p", "u", "c", None, 16.0, None, PodState.READY)
    pods = Pods(Ledger(), Quarantine(metrics, settings.quarantine))
    pods.follow(
        EgressView((Fleet("", "rec", Placement(), frozenset(RequestType), None, (worker,)),))
    )
    limited = Load(jobs=1, memory_share=0.5)
    pods.read_load("u", limited, 1.0)
    assert not pods.counting_otherwise, "the worker may just have been writing them"
    for now in (2.0, 3.0):
        pods.read_load("u", limited, now)
    assert list(pods.counting_otherwise) == ["u"]
    assert caplog.text.count("set placement.memory.maxGb") == 1
    pods.read_load("u", TOLD, 4.0)
    assert not pods.counting_otherwise

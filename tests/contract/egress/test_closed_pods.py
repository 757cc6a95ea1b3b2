"""A whole desk and pods of which one disables itself after an internal error."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.contract.egress.test_learned_costs import told_by
from tests.kit.egress.scene import scene, track, web
from tests.kit.egress.virtual import Records, desks, livekit_server, memory_redis, on_loop_time

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Mode, Placement
from mediafleet_common.api.names import PodState
from mediafleet_common.probes.load import Source, parse
from mediafleet_scheduler.core.egress.views import EgressView, Fleet, Worker
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_testbed.buses import MemoryBus

pytestmark = pytest.mark.timeout(60)
PODS = ("pod-0", "pod-1")
CAPTURES = Path(__file__).parents[1] / "egress_metrics"


@pytest.mark.parametrize(
    ("state", "jobs", "disabled", "terminating"),
    [
        ("idle", 0, False, False),
        ("starting", 1, False, False),
        ("update-outstanding", 0, False, False),
        ("disabled", 1, True, False),
        ("terminating", 1, True, True),
    ],
)
def test_what_is_read_of_the_real_one(
    state: str, jobs: int, disabled: bool, terminating: bool
) -> None:
    load = parse((CAPTURES / f"{state}.prom").read_text(), Source.EGRESS)
    assert (load.jobs, load.disabled, load.terminating) == (jobs, disabled, terminating)


def test_a_text_without_these_metrics_leaves_them_unknown() -> None:
    load = parse("livekit_egress_available 1\n", Source.EGRESS)
    assert (load.disabled, load.terminating) == (None, None)


@pytest.mark.looptime(noop_cycles=1)
async def test_a_pod_that_has_disabled_itself_is_asked_for_nothing_once_its_load_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_loop_time(monkeypatch)
    bus, settings = MemoryBus(), Settings()
    workers = tuple(
        Worker(name, name, name, f"http://{name}/metrics", 12.0, None, PodState.READY)
        for name in PODS
    )
    fleet = Fleet("", "rec", Placement(mode=Mode.PACK), frozenset(RequestType), None, workers)
    async with scene(bus, memory_redis()) as stage, livekit_server(bus, Records()):
        told_by(stage.standins, monkeypatch)
        for name in PODS:
            await stage.standin(
                name, chrome_fails="chrome did not start" if name == "pod-0" else ""
            )
        stage.directory.publish(EgressView((fleet,)))
        async with desks(stage, settings, count=1) as one:
            assert await stage.call(track()) is None
            assert await stage.call(web()) is None
            await asyncio.sleep(2 * settings.scrape_every_seconds)
            assert stage.standins["pod-0"].disabled
            assert len(stage.standins["pod-0"].jobs) == 1, "pack goes on to fill it, if it is asked"
            began = asyncio.get_running_loop().time()
            assert await stage.call(track()) is None
            assert asyncio.get_running_loop().time() - began < 0.1, "nobody waited for its bid"
            (desk,) = one.services
            assert not desk.pods.quarantine.cases, "to take nothing is no fault"
            assert len(stage.standins["pod-1"].jobs) == 1

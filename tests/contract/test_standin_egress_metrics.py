"""The stand-in's metrics are those of livekit/egress 1.14.1, captured in each of its states.

The captures, in egress_metrics/, hold the lines of its monitor only (pkg/stats/monitor_prom.go).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from livekit.protocol import egress as livekit
from tests.kit.egress.standin_stage import Stage, room, settled, stage_of, track, web

from mediafleet_common.probes.load import Source, parse
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_testbed.standins import egress_metrics
from mediafleet_testbed.standins.egress_rules import Memory
from mediafleet_testbed.standins.egress_worker import Worker

_CAPTURES: Final = Path(__file__).parent / "egress_metrics"
_MEASURED: Final = re.compile(r"bytes|node_cpu_load|type=\"cpu\"")
"""What depends on the machine: there, with some value."""


def series(text: str) -> dict[str, float | None]:
    """Values by name and labels, own ones left out; `None` for what is measured."""
    found: dict[str, float | None] = {}
    for line in text.splitlines():
        name, value = line.rsplit(" ", 1)
        name = re.sub(r'cluster_id="[^"]*",|,?node_id="[^"]*",?', "", name)
        found[name] = None if _MEASURED.search(name) else round(float(value), 4)
    return found


def captured(state: str) -> dict[str, float | None]:
    return series((_CAPTURES / f"{state}.prom").read_text())


def told(worker: Worker) -> dict[str, float | None]:
    return series(egress_metrics.exposition(worker))


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with stage_of() as made:
        yield made


async def test_one_that_is_idle_tells_what_the_real_one_tells(stage: Stage) -> None:
    async with stage.worker(cpus=64.0) as worker:
        assert told(worker) == captured("idle")


async def test_one_that_records_tells_so_while_it_starts_and_while_it_stops(stage: Stage) -> None:
    async with stage.worker(cpus=64.0) as worker:
        await stage.start(track())
        assert told(worker) == captured("starting") == captured("stopping")


async def test_one_whose_last_update_is_outstanding_tells_that_it_is_idle(stage: Stage) -> None:
    async with stage.worker(cpus=64.0) as worker:
        await stage.start(track())
        await settled()
        stage.server.frozen = True
        worker.stop_all()
        await settled()
        assert worker.io.outstanding == {"EG_1"}
        assert told(worker) == captured("update-outstanding") == captured("livekit-server-frozen")


async def test_a_room_composite_has_four_more_pulseaudio_clients(stage: Stage) -> None:
    async with stage.worker(cpus=64.0) as worker:
        await stage.start(track("EG_1"))
        await settled()
        async with Client(stage.bus, "EgressHandler") as handler:
            stop = livekit.StopEgressRequest(egress_id="EG_1").SerializeToString()
            await handler.request("StopEgress", stop, ("EG_1",), timeout_seconds=5)
        await worker.drained()
        await stage.start(room("EG_2"))
        assert told(worker) == captured("room-composite")


async def test_one_that_has_disabled_itself_is_not_terminating(stage: Stage) -> None:
    async with stage.worker(cpus=64.0, chrome_fails="chrome did not start") as worker:
        await stage.start(track("EG_1"))
        await stage.start(web("EG_2"))
        await settled()
        assert told(worker) == captured("disabled")


async def test_one_that_was_sent_sigterm_is_terminating_and_disabled(stage: Stage) -> None:
    async with stage.worker(cpus=64.0) as worker:
        worker.results["track", "completed"] = 9
        await stage.start(track("EG_1"))
        await worker.stop_taking()
        assert told(worker) == captured("terminating")


async def test_memory_at_rest_is_98_mebibytes_and_counts_where_memory_is_limited(
    stage: Stage,
) -> None:
    async with stage.worker(cpus=64.0) as worker:
        rests = [
            line for line in (_CAPTURES / "idle.prom").read_text().splitlines() if "rss" in line
        ]
        real = float(rests[0].rsplit(" ", 1)[1])
        assert worker.admission.really_used_gb() * 2**30 == pytest.approx(real, rel=0.01)
        assert 'type="memory"' not in egress_metrics.exposition(worker)
        worker.admission.memory = Memory(max_gb=1.0)
        load = parse(egress_metrics.exposition(worker), Source.EGRESS)
        assert load.memory_share == pytest.approx(98 / 1024)


async def test_metrics_have_upstreams_names_and_read_as_a_load(stage: Stage) -> None:
    async with stage.worker(cpus=8.0) as worker:
        before = egress_metrics.exposition(worker)
        assert "livekit_egress_requests" not in before, "a gauge vector is empty at first"
        assert parse(before, Source.EGRESS).jobs == 0
        await stage.start(web("EG_1"))
        await stage.start(track("EG_2"))
        text = egress_metrics.exposition(worker)
        for name in (
            "livekit_egress_available",
            "livekit_egress_can_accept_request",
            "livekit_egress_is_disabled",
            "livekit_egress_is_terminating",
            "livekit_node_cpu_load",
            "livekit_load_ratio",
        ):
            assert f'{name}{{cluster_id="pod-0",node_id="NE_' in text
        assert text.count('cluster_id="pod-0"') == len(text.splitlines())
        load = parse(text, Source.EGRESS)
        assert load.jobs == 2
        assert load.jobs_by_type == {"web": 1, "track": 1}
        assert load.cpu_load == pytest.approx((4.0 + 0.5) / 2 / 8.0)
        worker.stop_all()
        await worker.drained()
        after = parse(egress_metrics.exposition(worker), Source.EGRESS)
        assert after.jobs == 0
        assert after.jobs_by_type == {"web": 0, "track": 0}, "a gauge stays once it was there"

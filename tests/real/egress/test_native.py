"""Fleets with engine native: upstream's auction reaches their pods, a desk sees how they bid."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import redis.asyncio as redis
from tests.kit.egress.scene import eventually, track

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.api.names import PodState
from mediafleet_operator.manifests.pods.egress import settings
from mediafleet_scheduler.core.egress.views import EgressView, Fleet, Worker
from mediafleet_scheduler.core.psrpc.selection import UPSTREAM_START_EGRESS
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.connections.opening import of_url
from mediafleet_scheduler.egress.peers.native_fleets import NativeFleets, ask_for_bids
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import RedisServer, free_port
from mediafleet_testbed.standins import egress_worker
from mediafleet_testbed.standins.egress_rules import Admission
from mediafleet_testbed.standins.egress_worker import Conduct, Io
from mediafleet_testbed.standins.egress_worker import Worker as StandIn

STOCK = Conduct(upstream=True, io=Io.PUBLISH)


@pytest.fixture
async def bus(commands: redis.Redis) -> AsyncIterator[RedisBus]:
    async with RedisBus(commands) as bus:
        yield bus


def native(mode: str, state: PodState = PodState.READY) -> Fleet:
    placement = Placement.model_validate({"engine": "native", "mode": mode})
    pod = Worker("p", "u", "", None, 8.0, None, state)
    spec = RedisSpec(address="redis:6379")
    return Fleet("live", mode, placement, frozenset(RequestType), spec, (pod,))


@contextmanager
def patched() -> Iterator[None]:
    """Stand-ins bid as builds with the patch do."""
    before = egress_worker.BID_IDLE, egress_worker.BID_BUSY
    egress_worker.BID_IDLE, egress_worker.BID_BUSY = 0.99931, 0.61202  # type: ignore[misc]
    try:
        yield
    finally:
        egress_worker.BID_IDLE, egress_worker.BID_BUSY = before  # type: ignore[misc]


async def test_asking_for_bids_starts_nothing(bus: RedisBus) -> None:
    async with StandIn(bus, "a", Admission(8.0), STOCK) as one:
        assert await ask_for_bids(bus, 0.2) == [0.5]
        await asyncio.sleep(0)
        assert (one.started, one.refused) == ([], 0)


@pytest.mark.parametrize("knows", [True, False])
async def test_a_desk_tells_whether_the_pods_know_their_mode(
    bus: RedisBus, redis_process: RedisServer, knows: bool
) -> None:
    told: dict[str, bool] = {}

    async def tell(fleet: Fleet, known: bool) -> None:
        told[fleet.name] = known

    fast = Settings(look_at_bids_seconds=0.05)
    idle = native("type_aware", PodState.PENDING)
    view = EgressView((), (native("spread"), native("pack"), idle))
    with patched() if knows else nullcontext():
        async with (
            StandIn(bus, "a", Admission(8.0), STOCK),
            NativeFleets(lambda _: of_url(redis_process.url, None), tell, fast) as natives,
        ):
            natives.follow(view)
            await eventually(lambda: bool(told))
    assert told == {"spread": knows}, "of pack nothing is to be told, nor of a fleet without pods"


async def test_livekit_servers_auction_starts_jobs_on_what_the_operator_renders(
    bus: RedisBus, redis_process: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = EgressFleetSpec.model_validate(
        {
            "redis": {"address": redis_process.url.removeprefix("redis://")},
            "placement": {"engine": "native", "mode": "spread"},
        }
    )
    port = free_port()
    config = {**settings(spec), "prometheus_port": port, "health_port": free_port()}
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(config))
    monkeypatch.setenv("EGRESS_CONFIG_FILE", str(path))
    async with Processes(tmp_path) as processes, Client(bus, "EgressInternal") as client:
        stock = await processes.python(
            "stock", "mediafleet_testbed.standins.egress", "--cpus", "8", "--io", "publish"
        )
        await processes.says(stock, "ready")
        answer = await client.request(
            "StartEgress",
            track("EG_1").SerializeToString(),
            timeout_seconds=10,
            selection=UPSTREAM_START_EGRESS,
        )
        assert answer.error is None
        await eventually(lambda: "started EG_1" in stock.log_tail())

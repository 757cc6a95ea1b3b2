"""What egress desks say of demand: each of two the same, and from zero pods on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc.aio
import pytest
import redis.asyncio as redis
from prometheus_client import CollectorRegistry
from tests.kit.egress.scene import QUICK, Scene, eventually, fleet, scene, track, web

from mediafleet_common.reports.demand import FleetDemand
from mediafleet_common.wire import scaler_pb2 as wire
from mediafleet_scheduler.core.egress.demand import egress_demand
from mediafleet_scheduler.core.egress.queue import QueueRule
from mediafleet_scheduler.core.egress.views import EgressView, Fleet
from mediafleet_scheduler.core.scaling.trigger import Metric
from mediafleet_scheduler.egress.process.branch import EgressService
from mediafleet_scheduler.scaler.outlook import Outlook
from mediafleet_scheduler.scaler.server import ScalerOptions, serving
from mediafleet_scheduler.scaler.service import SERVICE
from mediafleet_testbed.buses import MemoryBus

HEARING = replace(QUICK, heard_look_seconds=0.05, list_wait_seconds=0.5)
Ask = Callable[[str], Awaitable[float]]
PATIENT = QueueRule(max_wait_seconds=8.0, max_length=100)


@pytest.fixture
async def stage(commands: redis.Redis) -> AsyncIterator[Scene]:
    async with scene(MemoryBus(), commands) as made:
        yield made


def there_are(stage: Scene, *names: str) -> Fleet:
    """A fleet of 4-CPU pods of these names, all ready."""
    placement = replace(fleet(*names, cpus=4.0), queue=PATIENT, pod_cores=4.0)
    stage.directory.publish(EgressView((placement,)))
    return placement


def told(desk: EgressService, view: Fleet) -> FleetDemand:
    complete = asyncio.get_running_loop().time() < desk.pods.complete_until
    return egress_demand(view, desk.ledger, complete, time.time())


@asynccontextmanager
async def asked_by_keda(desk: EgressService, view: Fleet) -> AsyncIterator[Ask]:
    """What a desk's scaler answers to GetMetrics for a metric, over gRPC."""
    outlook = Outlook(lambda: [told(desk, view)])
    async with (
        serving(outlook, ScalerOptions("127.0.0.1:0"), CollectorRegistry()) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        call = channel.unary_unary(
            f"/{SERVICE}/GetMetrics",
            request_serializer=wire.GetMetricsRequest.SerializeToString,
            response_deserializer=wire.GetMetricsResponse.FromString,
        )

        async def ask(metric: str) -> float:
            outlook.look()
            said = {"fleet": view.name, "metric": metric, "target": "1"}
            ref = wire.ScaledObjectRef(name="so", namespace=view.namespace, metadata=said)
            request = wire.GetMetricsRequest(ref=ref, name=f"mediafleet-{metric}")
            (value,) = (await call(request, timeout=10)).values
            return float(value.value_float)

        yield ask


async def test_the_first_request_of_a_fleet_without_pods_is_demand_at_both_desks(
    stage: Scene,
) -> None:
    none = there_are(stage)
    async with stage.desk(HEARING) as one, stage.desk(HEARING) as other:
        assert [told(desk, none).queued for desk in (one, other)] == [{}, {}]
        call = asyncio.create_task(stage.start(web("EG_x")))
        for desk in (one, other):
            await eventually(lambda desk=desk: told(desk, none).queued == {"web": 1})
        await stage.standin("pod-0", 4.0)
        first = there_are(stage, "pod-0")
        assert (await call).error is None
        for desk in (one, other):
            await desk.sweeper.sync()
            await desk.sweeper.ask_pods()
            await eventually(lambda desk=desk: told(desk, first).work == 1)
            assert told(desk, first).queued == {}
    assert stage.jobs == {"pod-0": 1}


async def test_what_one_desk_has_placed_the_other_tells_too(stage: Scene) -> None:
    await stage.standin("pod-0", 4.0)
    view = there_are(stage, "pod-0")
    async with stage.desk(HEARING) as one, stage.desk(HEARING) as other:
        for _ in range(4):
            await stage.start(track())
        for desk in (one, other):
            await eventually(lambda desk=desk: told(desk, view).work == 4)
        shares = {round(told(desk, view).used, 6) for desk in (one, other)}
        assert len(shares) == 1
        async with asked_by_keda(one, view) as first, asked_by_keda(other, view) as second:
            for metric in Metric:
                assert await first(metric) == await second(metric) > 0, metric


async def test_a_ledger_that_redis_has_not_shown_for_long_is_not_trusted(stage: Scene) -> None:
    there_are(stage)
    async with stage.desk(replace(HEARING, sync_every_seconds=0.05, stale_seconds=9.0)) as desk:
        assert desk.complaint is None
        desk.sweeper.synced_at -= 10.0
        assert "was last seen" in (desk.complaint or "")
        await eventually(lambda: desk.complaint is None)

"""What our processes export, after work was done, kept apart as Prometheus' targets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import redis.asyncio as redis
from aiohttp import web
from prometheus_client import CollectorRegistry
from tests.kit.advertise import scene as advertise
from tests.kit.egress import scene as egress
from tests.kit.workers import scene as workers

from mediafleet_common.api.names import KindLabel
from mediafleet_common.serving.http import HttpServer
from mediafleet_common.wire import scaler_pb2 as wire
from mediafleet_operator.rounds.counters import STATES
from mediafleet_operator.rounds.metrics import OperatorMetrics
from mediafleet_scheduler.core.community.cells import WORLD
from mediafleet_scheduler.core.community.publishing import Figures, HourRecord, OwnFigures
from mediafleet_scheduler.core.community.rendering import Shared, as_prometheus
from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.egress.process.gauges import DeskCollector
from mediafleet_scheduler.scaler.outlook import Outlook
from mediafleet_scheduler.scaler.server import ScalerOptions, serving
from mediafleet_testbed.buses import MemoryBus

Targets = dict[str, tuple[int, str]]
"""Port and path by the name of a process."""
MODEL = (Pipeline.TEXT_TO_IMAGE, "m/sd")
SHARED = Shared(
    "eu-west",
    OwnFigures(25, 30),
    [
        HourRecord(
            1_795_900_000,
            3,
            {WORLD: Figures(10, 20, (3, 5), (6, 10))},
            (),
            OwnFigures(20, 30),
            {"aiByModel": {"m/sd": 15}},
        )
    ],
)


@asynccontextmanager
async def exporting(folder: Path, commands: redis.Redis) -> AsyncIterator[Targets]:
    """The operator's series are set by hand, since it needs an API server; all else has worked."""
    async with AsyncExitStack() as stack:
        ports = [
            await stack.enter_async_context(each)
            for each in (
                _egress_desk(commands),
                _advertiser(folder),
                _broker(folder),
                _operator(),
                _shared(),
            )
        ]
        names = ("egress", "advertiser", "broker", "operator", "shared")
        paths = {"shared": "/metrics/community"}
        yield {
            name: (port, paths.get(name, "/metrics"))
            for name, port in zip(names, ports, strict=True)
        }


def _server(registry: CollectorRegistry, routes: tuple[web.RouteDef, ...] = ()) -> HttpServer:
    return HttpServer("127.0.0.1:0", lambda: None, routes=routes, registry=registry)


@asynccontextmanager
async def _egress_desk(commands: redis.Redis) -> AsyncIterator[int]:
    """A pod that fails its starts and one that does not: jobs run, one finds no room, KEDA asks."""
    async with egress.scene(MemoryBus(), commands) as stage:
        await stage.standin("pod-0", 4.0, fails="handler failed to start")
        await stage.standin("pod-1", 4.0)
        full = egress.fleet("pod-0", "pod-1", cpus=4.0)
        stage.directory.publish(EgressView((full,)))
        async with stage.desk(egress.IMPATIENT) as desk:
            registry = desk.metrics.registry
            registry.register(DeskCollector(lambda: [desk]))
            async with _server(registry) as http, _scaler(registry):
                for request in (egress.track(), *(egress.web() for _ in range(4))):
                    await stage.start(request)
                yield http.port


@asynccontextmanager
async def _scaler(registry: CollectorRegistry) -> AsyncIterator[None]:
    outlook = Outlook(list)
    async with (
        serving(outlook, ScalerOptions("127.0.0.1:0"), registry) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        asked = channel.unary_unary(
            "/externalscaler.ExternalScaler/IsActive",
            request_serializer=wire.ScaledObjectRef.SerializeToString,
            response_deserializer=wire.IsActiveResponse.FromString,
        )
        # An error is counted too.
        with contextlib.suppress(grpc.aio.AioRpcError):
            await asked(wire.ScaledObjectRef(name="rec", namespace="media"), timeout=20)
        yield


@asynccontextmanager
async def _advertiser(folder: Path) -> AsyncIterator[int]:
    """Two nodes that were listed, of which one then drains, and a gateway that asks."""
    async with advertise.nodes(2) as (a, b):
        file = folder / "nodes.yaml"
        advertise.write(file, advertise.entry("a", a), advertise.entry("b", b))
        async with advertise.desk(file) as desk:
            await desk.lists(a.url, b.url)
            desk.write(advertise.entry("a", a), advertise.entry("b", b, state="draining"))
            await desk.lists(a.url)
            yield desk.serving.http_port


@asynccontextmanager
async def _broker(folder: Path) -> AsyncIterator[int]:
    """A worker, and a task that it has not answered."""
    async with (
        workers.broker(folder, MODEL) as broker,
        workers.worker(broker, workers.registration(MODEL)) as worker,
    ):
        body = {"model_id": MODEL[1], "prompt": "x"}
        url = f"{broker.runner}/text-to-image"
        asked = asyncio.create_task(_post(broker, url, body))
        attempt, _, _ = await worker.job()
        await broker.post_result(attempt, b"no", "text/plain")
        await asyncio.wait([asked], timeout=60)
        yield broker.serving.http_port


async def _post(broker: workers.Broker, url: str, body: object) -> int:
    async with broker.session.post(url, json=body) as response:
        return response.status


@asynccontextmanager
async def _operator() -> AsyncIterator[int]:
    registry = CollectorRegistry()
    metrics, kind, fleet = OperatorMetrics(registry), KindLabel.EGRESS.value, "media/rec"
    metrics.leader.set(1)
    for state in STATES:
        metrics.fleet_replicas.labels(kind, fleet, state).set(2)
    metrics.reconcile_errors.labels(kind, "ApiAway").inc()
    metrics.autoscaling_wanted.labels(kind, fleet).set(3)
    metrics.autoscaling_replicas.labels(kind, fleet).set(2)
    metrics.autoscaling_forecast.labels(kind, fleet).set(4)
    metrics.autoscaling_active.labels(kind, fleet, "builtin").set(1)
    metrics.autoscaling_changes.labels(kind, "up").inc()
    metrics.demand_to_capacity.labels(kind).observe(3)
    async with _server(registry) as http:
        yield http.port


@asynccontextmanager
async def _shared() -> AsyncIterator[int]:
    async def text(_: web.Request) -> web.Response:
        return web.Response(text=as_prometheus(SHARED))

    async with _server(CollectorRegistry(), (web.get("/metrics/community", text),)) as http:
        yield http.port

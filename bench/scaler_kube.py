"""The egress desks under real KEDA with 200 ScaledObjects, on the real node.

`python -m mediafleet_testbed exec --up -- python -m bench.scaler_kube [FLEETS] [SECONDS] [PUSHES]`.
KEDA, its metrics adapter, the API server and the HPA controller are the real ones; the fleets have
no pods, so that two cores carry them. How long GetMetrics takes is what KEDA itself measures
(`keda_scaler_metrics_latency_seconds`, a gauge for each ScaledObject); how often it asks is what
the desks count. Cores are those of the node, without KEDA, as used+waited for. A push is timed from
sending a StartEgress, which a desk holds, to the change of `spec.replicas` that KEDA makes of it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.egress_latency import load
from livekit.protocol import egress as livekit
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table
from tests.kit.cluster.keda import set_up, told_by_desks
from tests.kit.cluster.scene import Scene, watched
from tests.kit.fleets import manifests
from tests.kit.tenants.shares import Share, used
from tests.kit.watching.replicas import ReplicaWatch

from mediafleet_common.api.names import Kind
from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.psrpc.selection import UPSTREAM_START_EGRESS
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_testbed import images
from mediafleet_testbed.load.bursts import quantile
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

FLEETS: Final = 200
SECONDS: Final = 90.0
PUSHES: Final = 10
READY_SECONDS: Final = 420.0
PUSH_SECONDS: Final = 60.0
POLL_SECONDS: Final = 15.0
"""As the operator sets it: a gauge of KEDA's is new so often."""
KEDA_METRICS: Final = "http://127.0.0.1:19080/metrics"
LATENCY: Final = "keda_scaler_metrics_latency_seconds"
RPCS: Final = ("GetMetrics", "IsActive", "GetMetricSpec")


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured; times in seconds."""

    fleets: int
    listening: float
    """From the creation of the fleets until KEDA held a stream for each."""
    polls: Sequence[float]
    asked_a_second: dict[str, float]
    refused: float
    """Answers that were none, of those."""
    pushes: Sequence[float]
    cores: dict[str, Share]
    """Cores that each part of the node used and waited for while KEDA asked."""


def name(number: int) -> str:
    """Of a fleet, its room and all that comes of it."""
    return f"rec-{number:03d}"


def fleet(number: int, redis: str) -> dict[str, Any]:
    """A fleet of no pods, of its own room."""
    return manifests.egress_fleet(
        *(name(number), redis, 0),
        placement={"mode": "pack", "cpu": 16, "queue": {"maxWait": "8s"}},
        accepts=["track"],
        rooms=[name(number)],
        autoscaling={"engine": "keda", "min": 0, "max": 1, "coolDown": "300s"},
    )


async def created(scene: Scene, count: int) -> float:
    """Create the fleets; how long until KEDA listens to each."""
    began = time.monotonic()
    for number in range(count):
        await scene.create(fleet(number, scene.product.redis))
    await until(
        f"KEDA listens to {count} fleets",
        lambda: told_by_desks(scene, "mediafleet_scaler_streams", {"rpc": "StreamIsActive"}),
        lambda streams: streams >= count,
        seconds=READY_SECONDS,
    )
    return time.monotonic() - began


async def latencies(scene: Scene) -> list[float]:
    """How long KEDA's last question took, of each fleet it has asked."""
    async with scene.http.get(KEDA_METRICS) as answer:
        families: list[Metric] = list(text_string_to_metric_families(await answer.text()))
    return [s.value for family in families if family.name == LATENCY for s in family.samples]


async def asked(scene: Scene, rpc: str, code: str) -> float:
    """How many calls both desks have answered so."""
    labels = {"rpc": rpc, "code": code}
    return await told_by_desks(scene, "mediafleet_scaler_requests_total", labels)


async def push(scene: Scene, replicas: ReplicaWatch, number: int) -> float:
    """Hold a request for a fleet; how long until KEDA has asked for its first pod."""
    inner = livekit.TrackEgressRequest(room_name=name(number), track_id="TR_1")
    request = StartEgressRequest(
        egress_id=f"EG_{uuid.uuid4().hex[:12]}",
        room_name=name(number),
        track=inner.SerializeToString(),
    )
    async with Client(scene.bus, "EgressInternal") as client:
        began = time.time()
        call = asyncio.create_task(
            client.request(
                "StartEgress",
                request.SerializeToString(),
                timeout_seconds=10,
                selection=UPSTREAM_START_EGRESS,
            )
        )
        try:
            told = await replicas.until(name(number), lambda count: count > 0, PUSH_SECONDS)
        finally:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
    return told.at - began


async def measured(node: Node, scene: Scene, count: int, seconds: float, pushes: int) -> Figures:
    """All figures."""
    listening = await created(scene, count)
    codes = ("OK", "UNAVAILABLE", "NOT_FOUND", "INVALID_ARGUMENT")
    keys = list(itertools.product(RPCS, codes))
    before = {key: await asked(scene, *key) for key in keys}
    began, polls, shares = time.monotonic(), list[float](), used(node.instance, ())
    while time.monotonic() - began < seconds:
        await asyncio.sleep(POLL_SECONDS)
        polls += await latencies(scene)
    took = time.monotonic() - began
    cores = {
        who: (share - shares.get(who, Share())).each_second(took)
        for who, share in used(node.instance, ()).items()
    }
    calls = {key: await asked(scene, *key) - before[key] for key in keys}
    async with ReplicaWatch(scene.api, Kind.EGRESS_FLEET, scene.namespace) as replicas:
        told = [await push(scene, replicas, number) for number in range(min(pushes, count))]
    return Figures(
        fleets=count,
        listening=listening,
        polls=polls,
        asked_a_second={rpc: sum(calls[rpc, code] for code in codes) / took for rpc in RPCS},
        refused=sum(calls[rpc, code] for rpc in RPCS for code in codes if code != "OK"),
        pushes=told,
        cores=cores,
    )


async def run(node: Node, options: argparse.Namespace) -> Figures:
    """Set up, measure, take down."""
    with (
        tempfile.TemporaryDirectory(prefix="mediafleet-bench-") as scratch,
        set_up(node, Path(scratch)) as setting,
    ):
        async with watched(setting.product) as scene:
            return await measured(node, scene, options.fleets, options.seconds, options.pushes)


def table(figures: Figures) -> Table:
    """The figures beside their goals."""
    rows = Table(title=f"Real KEDA with {figures.fleets} ScaledObjects, two desks, mutual TLS")
    for head in ("what", "count", "p50 ms", "p99 ms", "max ms", "goal"):
        rows.add_column(head, justify="left" if head in ("what", "goal") else "right")
    for what, seconds, goal in (
        ("GetMetrics, as KEDA sees it", figures.polls, "p99 10 ms"),
        ("StartEgress -> KEDA's replicas patch", figures.pushes, "a push within 250 ms"),
    ):
        shares = [1000 * (quantile(seconds, share) or 0.0) for share in (0.5, 0.99, 1.0)]
        rows.add_row(what, str(len(seconds)), *(f"{each:.1f}" for each in shares), goal)
    calls = ", ".join(f"{rpc} {rate:.1f}" for rpc, rate in figures.asked_a_second.items())
    due = figures.fleets / POLL_SECONDS
    cores = ", ".join(f"{who} {share}" for who, share in figures.cores.items())
    rows.caption = (
        f"Calls a second: {calls} (one poll of each in {POLL_SECONDS:g} s is {due:.1f}); "
        f"{figures.refused:.0f} refused. KEDA listened to all after {figures.listening:.0f} s. "
        f"Cores of the node, used+waited for, while it asked: {cores}. "
        f"{load()}"
    )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaler_kube")
    parser.add_argument("fleets", nargs="?", type=int, default=FLEETS)
    parser.add_argument("seconds", nargs="?", type=float, default=SECONDS)
    parser.add_argument("pushes", nargs="?", type=int, default=PUSHES)
    node = Node.running()
    images.load(node.instance)
    Console(width=110).print(table(asyncio.run(run(node, parser.parse_args()))))


if __name__ == "__main__":
    main()

"""How fast the egress desk answers KEDA for 200 ScaledObjects, and how soon it pushes.

`python -m bench.scaler [SECONDS] [PUSHES]`. The desk is a process of its own, with mutual TLS and
200 fleets without pods; KEDA is played by a Python client on one connection, as KEDA has one: two
streams held open for each ScaledObject, and each asked in turn, far more often than KEDA asks. A
push is timed from sending a StartEgress, which the desk holds, to the stream's `true`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import redis.asyncio as redis
import trustme
import uvloop
import yaml
from bench.egress_latency import cpu_seconds, load
from livekit.protocol import egress as livekit
from rich.console import Console
from rich.table import Table
from tests.kit.tenants import shares
from tests.kit.tenants.shares import Share

from mediafleet_common.wire import scaler_pb2 as wire
from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.psrpc.selection import UPSTREAM_START_EGRESS
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_scheduler.scaler.service import SERVICE
from mediafleet_testbed.load.bursts import quantile
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import redis_server

FLEETS: Final = 200
SECONDS: Final = 10.0
PUSHES: Final = 20
PER_SECOND: Final = 200
"""Polls; KEDA and its HPAs ask 200 ScaledObjects about 20 times a second."""
GOAL_POLL_MS: Final = 10.0
GOAL_PUSH_MS: Final = 250.0
POLL_BASELINE_SECONDS: Final = 30.0
"""Between two polls of KEDA, by default: what a scaler without streams costs."""
Ref = wire.ScaledObjectRef


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured, in seconds."""

    polls: Sequence[float]
    pushes: Sequence[float]
    idle_cpu_share: float
    """CPU of the desk while nobody asks and all streams are open."""
    asked: Share
    """CPU that it used, and its threads waited for, while it was asked."""


class Keda:
    """KEDA's side of one connection."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def get_metrics(self, ref: Ref) -> float:
        """One poll; how long it took."""
        request = wire.GetMetricsRequest(ref=ref, name="mediafleet-utilization")
        call = self._call(self._channel.unary_unary, "GetMetrics", wire.GetMetricsResponse)
        began = time.perf_counter()
        await call(request, timeout=10)
        return time.perf_counter() - began

    def stream(self, rpc: str, answer: Any, ref: Ref) -> Any:
        """One stream."""
        return self._call(self._channel.unary_stream, rpc, answer)(ref)

    @staticmethod
    def _call(kind: Any, rpc: str, answer: Any) -> Any:
        return kind(
            f"/{SERVICE}/{rpc}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )


def ref(number: int) -> Ref:
    """The ScaledObject of a fleet."""
    metadata = {"fleet": f"fleet-{number}", "namespace": "", "target": "0.7"}
    return Ref(name=f"so-{number}", namespace="media", metadata=metadata)


@asynccontextmanager
async def desk(processes: Processes, folder: Path, url: str) -> AsyncIterator[tuple[int, Keda]]:
    """A desk with all fleets; its process id, and a connection to it."""
    ca = trustme.CA()
    server, client = ca.issue_cert("localhost"), ca.issue_cert("keda")
    (folder / "tls.crt").write_bytes(server.cert_chain_pems[0].bytes())
    (folder / "tls.key").write_bytes(server.private_key_pem.bytes())
    (folder / "ca.crt").write_bytes(ca.cert_pem.bytes())
    placement = {"cpu": 4, "queue": {"max_wait": "8s"}}
    fleets = [
        {"name": f"fleet-{n}", "rooms": [f"room-{n}"], "placement": placement, "workers": []}
        for n in range(FLEETS)
    ]
    file = folder / "workers.yaml"
    file.write_text(yaml.safe_dump({"fleets": fleets}))
    member = await processes.python(
        "desk",
        "mediafleet.main",
        *("egress", "--redis", url, "--workers", str(file), "--http", "127.0.0.1:0"),
        *("--scaler", "127.0.0.1:0", "--scaler-cert", str(folder / "tls.crt")),
        *("--scaler-key", str(folder / "tls.key"), "--scaler-client-ca", str(folder / "ca.crt")),
    )
    line = await processes.says(member, "mediafleet egress ready", 60)
    port = line.partition("KEDA scaler 127.0.0.1:")[2].partition(" ")[0]
    credentials = grpc.ssl_channel_credentials(
        ca.cert_pem.bytes(), client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes()
    )
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
        yield member.process.pid, Keda(channel)
    await processes.dismiss(member)


async def poll(keda: Keda, seconds: float) -> list[float]:
    """Ask all fleets in turn, at a steady pace."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    asked: list[asyncio.Task[float]] = []
    while (at := len(asked) / PER_SECOND) < seconds:
        await asyncio.sleep(max(0.0, began + at - loop.time()))
        asked.append(asyncio.create_task(keda.get_metrics(ref(len(asked) % FLEETS))))
    return await asyncio.gather(*asked)


async def push(client: Client, number: int, stream: Any) -> float:
    """Hold a request for a fleet; how long until its stream says that there is something to do."""
    inner = livekit.TrackEgressRequest(room_name=f"room-{number}", track_id="TR_1")
    request = StartEgressRequest(
        egress_id=f"EG_{uuid.uuid4().hex[:12]}",
        room_name=f"room-{number}",
        track=inner.SerializeToString(),
    )
    began = time.perf_counter()
    call = asyncio.create_task(
        client.request(
            "StartEgress",
            request.SerializeToString(),
            timeout_seconds=10,
            selection=UPSTREAM_START_EGRESS,
        )
    )
    while not (await stream.read()).result:
        pass
    took = time.perf_counter() - began
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    return took


async def measure(seconds: float, pushes: int) -> Figures:
    """All figures."""
    with (
        tempfile.TemporaryDirectory(prefix="mediafleet-bench-") as scratch,
        redis_server() as server,
    ):
        connection = redis.Redis.from_url(server.url)
        async with (
            Processes(Path(scratch)) as processes,
            RedisBus(connection) as bus,
            Client(bus, "EgressInternal") as client,
            desk(processes, Path(scratch), server.url) as (pid, keda),
        ):
            refs = [ref(number) for number in range(FLEETS)]
            actives = [keda.stream("StreamIsActive", wire.IsActiveResponse, r) for r in refs]
            specs = [keda.stream("StreamMetricSpec", wire.GetMetricSpecResponse, r) for r in refs]
            for stream in (*actives, *specs):
                await stream.read()
            before, began = cpu_seconds(pid), time.perf_counter()
            await asyncio.sleep(min(seconds, 5.0))
            idle = (cpu_seconds(pid) - before) / (time.perf_counter() - began)
            share = shares.of(pid)
            polls = await poll(keda, seconds)
            asked = shares.of(pid) - share
            told = [await push(client, number, actives[number]) for number in range(pushes)]
            for stream in (*actives, *specs):
                stream.cancel()
        await connection.aclose()
    return Figures(polls, told, idle, asked)


def table(figures: Figures) -> Table:
    """The figures beside their goals."""
    rows = Table(title=f"KEDA scaler for {FLEETS} ScaledObjects, {2 * FLEETS} streams, mutual TLS")
    for name in ("what", "count", "p50 ms", "p99 ms", "max ms", "goal"):
        rows.add_column(name, justify="left" if name in ("what", "goal") else "right")
    for name, seconds, goal in (
        (f"GetMetrics, {PER_SECOND} a second", figures.polls, f"p99 {GOAL_POLL_MS:g} ms"),
        ("push of a held request", figures.pushes, f"{GOAL_PUSH_MS:g} ms"),
    ):
        shares = [1000 * (quantile(seconds, share) or 0.0) for share in (0.5, 0.99, 1.0)]
        rows.add_row(name, str(len(seconds)), *(f"{each:.1f}" for each in shares), goal)
    baseline = 1000 * POLL_BASELINE_SECONDS
    mean = f"{baseline / 2:.0f}"
    rows.add_row("without a push: KEDA's poll", "-", mean, f"{baseline:.0f}", f"{baseline:.0f}", "")
    a_poll = 1000 / len(figures.polls)
    rows.caption = (
        f"CPU of the desk while nobody asks: {100 * figures.idle_cpu_share:.1f} %. A poll takes it "
        f"{figures.asked.ran * a_poll:.1f} ms of CPU, and its threads wait "
        f"{figures.asked.waited * a_poll:.1f} ms for a CPU. {load()}"
    )
    return rows


def main() -> None:
    """Measure and print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    pushes = int(sys.argv[2]) if len(sys.argv) > 2 else PUSHES
    Console(width=110).print(table(uvloop.run(measure(seconds, min(pushes, FLEETS)))))


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    main()

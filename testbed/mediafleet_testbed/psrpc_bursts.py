"""Bursts of StartEgress straight over psrpc, with the options that livekit-server uses."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping

import aiohttp
from livekit.protocol import egress as livekit

from mediafleet_common.probes import polling
from mediafleet_common.probes.load import Load, Source
from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.psrpc.bus import Bus
from mediafleet_scheduler.psrpc.client import UPSTREAM_START_EGRESS, Client
from mediafleet_scheduler.psrpc.errors import PsrpcError
from mediafleet_testbed.bursts import BURST, Burst

TIMEOUT_SECONDS = 10.0
"""livekit-server's first attempt (livekit/protocol rpc/egress_client.go)."""


def track(number: int) -> StartEgressRequest:
    """A track egress, the cheapest kind."""
    inner = livekit.TrackEgressRequest(room_name="demo", track_id=f"TR_{number}")
    return StartEgressRequest(egress_id=_fresh_id(), track=inner.SerializeToString())


def web(number: int) -> StartEgressRequest:
    """A web egress, the dearest kind."""
    inner = livekit.WebEgressRequest(url=f"https://example.com/{number}")
    return StartEgressRequest(egress_id=_fresh_id(), web=inner.SerializeToString())


def _fresh_id() -> str:
    return f"EG_{uuid.uuid4().hex[:12]}"


async def burst(
    title: str,
    bus: Bus,
    metrics: Mapping[str, str],
    make: Callable[[int], StartEgressRequest] = track,
    count: int = BURST,
) -> Burst:
    """Start `count` jobs at once; what the workers' metrics (URL by name) then say runs where."""
    async with Client(bus, "EgressInternal") as client, polling.client() as session:
        taken = await asyncio.gather(*(_start(client, make(number)) for number in range(count)))
        jobs = await jobs_of(session, metrics)
    seconds = [each for each in taken if each is not None]
    return Burst(title, jobs, seconds, refused=count - len(seconds))


async def jobs_of(session: aiohttp.ClientSession, metrics: Mapping[str, str]) -> dict[str, int]:
    """Active jobs by worker."""
    loads = await asyncio.gather(
        *(polling.poll(session, url, Source.EGRESS) for url in metrics.values())
    )
    return {
        name: load.jobs or 0
        for name, load in zip(metrics, loads, strict=True)
        if isinstance(load, Load)
    }


async def _start(client: Client, request: StartEgressRequest) -> float | None:
    """Seconds until it was answered; `None` when it was refused."""
    began = time.monotonic()
    try:
        answer = await client.request(
            "StartEgress",
            request.SerializeToString(),
            timeout_seconds=TIMEOUT_SECONDS,
            selection=UPSTREAM_START_EGRESS,
        )
    except PsrpcError:
        return None
    return None if answer.error else time.monotonic() - began

"""Bursts of StartEgress straight over psrpc, with the options that livekit-server uses."""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp
from livekit.protocol import egress as livekit

from mediafleet_common.probes import http_client
from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.psrpc.selection import UPSTREAM_START_EGRESS
from mediafleet_scheduler.psrpc.bus import Bus
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.errors import Code, PsrpcError
from mediafleet_testbed.load.bursts import BURST, Burst

TIMEOUT_SECONDS = 10.0
"""livekit-server's first attempt; this and what follows: livekit/protocol rpc/egress_client.go."""
PAUSES_SECONDS: Final = ((1.0, 2.0), (2.0, 4.0), None)
"""Bounds of the pause after each attempt that failed; the third is the last."""
TRIED_AGAIN: Final = (Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE)


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
    workers: Mapping[str, str],
    make: Callable[[int], StartEgressRequest] = track,
    count: int = BURST,
) -> Burst:
    """Start `count` jobs at once; how many each worker (base URL by name) then has started."""
    async with Client(bus, "EgressInternal") as client, http_client.client() as session:
        before = {name: len(log["started"]) for name, log in (await logs(session, workers)).items()}
        taken = await asyncio.gather(*(_start(client, make(number)) for number in range(count)))
        after = await logs(session, workers)
    jobs = {name: len(log["started"]) - before[name] for name, log in after.items()}
    seconds = [each for each in taken if each is not None]
    return Burst(title, jobs, seconds, refused=count - len(seconds))


async def logs(session: aiohttp.ClientSession, workers: Mapping[str, str]) -> dict[str, Any]:
    """What each stand-in worker says that it started and runs."""
    texts = await asyncio.gather(
        *(
            http_client.fetch(session, f"{base}/jobs", timeout_seconds=5.0)
            for base in workers.values()
        )
    )
    return {name: json.loads(text) for name, text in zip(workers, texts, strict=True)}


async def _start(client: Client, request: StartEgressRequest) -> float | None:
    """Seconds until it was answered, as livekit-server tries; `None` when it was refused."""
    began = time.monotonic()
    for pause in PAUSES_SECONDS:
        try:
            answer = await client.request(
                "StartEgress",
                request.SerializeToString(),
                timeout_seconds=TIMEOUT_SECONDS,
                selection=UPSTREAM_START_EGRESS,
            )
            error: PsrpcError | None = answer.error
        except PsrpcError as raised:
            error = raised
        if error is None:
            return time.monotonic() - began
        if error.code not in TRIED_AGAIN or pause is None:
            return None
        await asyncio.sleep(random.uniform(*pause))
    return None

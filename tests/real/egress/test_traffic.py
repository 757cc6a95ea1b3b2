"""What a placement costs the Redis that livekit-server uses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import redis.asyncio as redis
from tests.kit.egress.scene import Scene, eventually, scene, track

from mediafleet_scheduler.core.psrpc.selection import UPSTREAM_START_EGRESS
from mediafleet_scheduler.psrpc import channels
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.real_servers import redis_server

PLACEMENTS = 20
EACH = 8
"""Publishes, where one desk bids."""
PATIENT = replace(UPSTREAM_START_EGRESS, affinity_timeout_seconds=20.0)
"""A busy machine may need longer for a bid than livekit-server waits."""


@pytest.fixture
async def stage() -> AsyncIterator[Scene]:
    """On a Redis of its own: nobody else publishes there."""
    with redis_server() as server:
        commands = redis.Redis.from_url(server.url, decode_responses=True, protocol=2)
        async with RedisBus(commands) as bus, scene(bus, commands) as made:
            yield made
        await commands.aclose()


async def published(stage: Scene) -> int:
    """How often anybody has published on that Redis."""
    told = await stage.commands.info("commandstats")
    return int(told.get("cmdstat_publish", {}).get("calls", 0))


@pytest.mark.parametrize("pods", [2, 10, 50])
@pytest.mark.parametrize("desks", [1, 2])
async def test_a_placement_is_as_many_publishes_whatever_the_size_of_the_fleet(
    stage: Scene, pods: int, desks: int
) -> None:
    """Request, bid, grant and answer, to the desk and on to the pod. A second desk bids too at
    first, and later where the first one is slow."""
    of_pods: list[bytes] = []
    for method in ("CreateEgress", "UpdateEgress"):
        await stage.bus.subscribe(channels.request("IOInfo", method), of_pods.append)
    await stage.fleet(*(f"pod-{n}" for n in range(pods)))
    async with AsyncExitStack() as stack:
        for _ in range(desks):
            await stack.enter_async_context(stage.desk())
        before, told_before = await published(stage), len(of_pods)
        for _ in range(PLACEMENTS):
            payload = track().SerializeToString()
            answer = await stage.client.request(
                "StartEgress", payload, timeout_seconds=20, selection=PATIENT
            )
            assert answer.error is None
        # What pods tell livekit-server is theirs: that a job is made, and that it is active.
        theirs = 2 * PLACEMENTS
        await eventually(lambda: len(of_pods) - told_before == theirs)
        count = await published(stage) - before - theirs
    assert EACH * PLACEMENTS <= count <= (EACH + desks - 1) * PLACEMENTS

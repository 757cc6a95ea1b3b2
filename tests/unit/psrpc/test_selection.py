"""The client on a bus takes whom the pure auction says, and when it says."""

from __future__ import annotations

import asyncio
import random

import pytest

from mediafleet_scheduler.core.egress.placement import affinity
from mediafleet_scheduler.core.psrpc.selection import UPSTREAM_START_EGRESS
from mediafleet_scheduler.psrpc import channels
from mediafleet_scheduler.psrpc.channels import EMPTY_TOPIC
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.envelope import Bid, Grant, Request, decode, encode
from mediafleet_scheduler.psrpc.errors import NoAnswerError, NoBidError
from mediafleet_testbed.buses import MemoryBus

SERVICE, METHOD = "EgressInternal", "StartEgress"


def drawn(chance: random.Random) -> list[affinity.Bid]:
    """Bids of pods, none just when another comes or its wait ends, some after the wait."""
    moments = chance.sample(range(1, 1300), chance.randint(0, 6))
    heights = [0.0, 0.4, 0.5, 0.5, 0.9, 1.0]
    return [
        affinity.Bid(f"pod-{number}", chance.choice(heights), (at + number / 10) / 1000)
        for number, at in enumerate(moments)
    ]


async def granted(bids: list[affinity.Bid]) -> affinity.Chosen | None:
    """Whom a client grants the request, and when."""
    bus, loop = MemoryBus(), asyncio.get_running_loop()
    began, grants = loop.time(), []

    def ask(data: bytes) -> None:
        request = decode(data, Request)
        channel = channels.bids(SERVICE, request.client_id)
        for each in bids:
            offer = encode(Bid(request.request_id, each.pod, each.affinity))
            loop.call_later(each.arrives, bus.publish, channel, offer)

    def grant(data: bytes) -> None:
        grants.append(affinity.Chosen(decode(data, Grant).server_id, loop.time() - began))

    await bus.subscribe(channels.request(SERVICE, METHOD, EMPTY_TOPIC), ask)
    await bus.subscribe(channels.grant(SERVICE, METHOD, EMPTY_TOPIC), grant)
    async with Client(bus, SERVICE) as client:
        with pytest.raises((NoAnswerError, NoBidError)):
            await client.request(METHOD, b"", timeout_seconds=2, selection=UPSTREAM_START_EGRESS)
    return grants[0] if grants else None


@pytest.mark.looptime
async def test_the_client_takes_whom_the_simulation_says_and_when() -> None:
    chance = random.Random(7)
    for _ in range(200):
        bids = drawn(chance)
        said, took = affinity.select(bids), await granted(bids)
        if said is None or took is None:
            assert said is took is None, bids
        else:
            assert took.pod == said.pod, bids
            assert took.after_seconds == pytest.approx(said.after_seconds, abs=0.002), bids

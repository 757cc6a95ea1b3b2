"""Gateways that stream to a pool on the node, past its doors and by a Service, and what doors tell
of it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from tests.kit.cluster.product import Product
from tests.kit.community import Time

from mediafleet_common.api.community import Community, Share
from mediafleet_common.api.names import Port
from mediafleet_scheduler.community.exchange.redis import Exchange, Place, exchange_of
from mediafleet_scheduler.community.reporter import Reporter
from mediafleet_scheduler.core.community.cells import WORLD
from mediafleet_scheduler.core.community.publishing import HourRecord
from mediafleet_testbed.cluster.pods import service
from mediafleet_testbed.story.waiting import until

GATEWAYS: Final = ("203.0.114.7", "203.0.115.9", "203.0.116.3")
"""Public, and in three networks; the node has them for the time of the test."""
FOURTH: Final = "203.0.117.5"
STREAMS: Final = 3
REWRITING: Final = "rewriting"
SECONDS: Final = 150.0
LABEL: Final = "mediafleet.dev/fleet"
ADDRESS: Final = re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b")


@asynccontextmanager
async def addresses(*some: str) -> AsyncIterator[None]:
    """Let the node have them, as if gateways were there."""

    async def ip(verb: str, address: str) -> None:
        command = ("ip", "address", verb, f"{address}/32", "dev", "lo")
        assert await (await asyncio.create_subprocess_exec(*command)).wait() == 0

    async with AsyncExitStack() as stack:
        for each in some:
            await ip("add", each)
            stack.push_async_callback(ip, "del", each)
        yield


@dataclass
class Scene:
    """A pool of one node behind its door, and the gateways that stream to it."""

    product: Product
    door: str
    rewriting: str
    """A Service, which puts another source address in the place of a caller's."""
    exchange: Exchange

    async def stream(self, gateway: str, door: str) -> None:
        """Have a gateway post a segment of each of its streams."""
        connector = aiohttp.TCPConnector(local_addr=(gateway, 0), ssl=False)
        async with aiohttp.ClientSession(connector=connector) as session:
            for number in range(STREAMS):
                name = f"{gateway}-{number}".encode()
                segment = bytes([0x0A, len(name)]) + name + bytes([0x10, 5])
                headers = {"Livepeer-Segment": base64.b64encode(segment).decode()}
                url = f"https://{door}:{Port.ORCHESTRATOR}/segment"
                async with session.post(url, headers=headers) as answer:
                    assert answer.status == 200

    async def inside(self) -> list[str]:
        """What the Redis holds of this moment, once all have streamed again."""
        for gateway in GATEWAYS:
            await self.stream(gateway, self.door)
        await self.stream(FOURTH, self.rewriting)
        name = f"mediafleet:community:{{{self.product.namespace}/orch}}:now"
        return [str(each) for each in await self.exchange.client.hvals(name)]

    async def hour(self, time: Time) -> HourRecord:
        """The hour as a reporter on a clock of its own publishes it."""
        share = Share(own_streams=True, streams_by_origin=True)
        community = Community(region="eu-west", share=share)
        mine = Reporter(community, lambda: 9, clock=time.clock, exchange=self.exchange)
        for _ in range(3):
            await mine.hear()
            mine.look()
            time.now += 3
        time.now = (time.now // 3600 + 1) * 3600
        assert mine.look()
        return mine.shared.hours[-1]


async def published(product: Product, pod: dict[str, Any]) -> list[str]:
    """Have gateways stream to a pool's node until its door tells of those whose address is known
    alone, and a reporter publishes them; what was told."""
    where = product.workspace.get("service", REWRITING)["spec"]["clusterIP"]
    time_ = Time(time.time())
    place = Place(f"redis://{product.redis}", f"{product.namespace}/orch")
    exchange = exchange_of(place, time_.clock)
    scene = Scene(product, pod["status"]["podIP"], str(where), exchange)
    async with addresses(*GATEWAYS, FOURTH):
        texts = await until("what doors tell", scene.inside, all_stream, SECONDS)
        # Seconds before an hour ends the looks would lie in two of them.
        time_.now = min(time.time(), (time.time() // 3600 + 1) * 3600 - 10)
        hour = await scene.hour(time_)
    await exchange.close()
    figures = hour.groups[WORLD]
    assert (figures.average, figures.streaming) == (10, (3, 5))
    assert not any(ADDRESS.search(text) for text in texts)
    return texts


def rewriting() -> dict[str, Any]:
    """The Service past which a source address is another."""
    return service(REWRITING, Port.ORCHESTRATOR, Port.ORCHESTRATOR, **{LABEL: "orch"})


def sources(texts: list[str]) -> dict[str, int]:
    """Streams by name."""
    told = [each for text in texts for each in json.loads(text)["sources"]]
    return {each["name"]: each["streams"] for each in told if each["streams"]}


def all_stream(texts: list[str]) -> bool:
    return sorted(sources(texts).values()) == [STREAMS] * len(GATEWAYS)

"""Origins from end to end: a real HAProxy before a node and a real advertiser see gateways, a real
Redis carries names of the day, and a reporter publishes the hour. No address is in any of it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import grpc
import pytest
from prometheus_client import CollectorRegistry
from tests.kit.advertise.mmdb import write_mmdb
from tests.kit.community import Time
from tests.kit.node import proxied
from tests.unit.advertise.test_report_only import POOL, OnePool

from mediafleet_common.agent.proxy_config import render
from mediafleet_common.api.community import Community, Share
from mediafleet_common.formats import eth
from mediafleet_common.formats.times import rfc3339
from mediafleet_common.probes.ping import GET_ORCHESTRATOR
from mediafleet_common.wire.livepeer_pb2 import OrchestratorRequest
from mediafleet_scheduler.advertise import desk
from mediafleet_scheduler.advertise.community import report_only
from mediafleet_scheduler.community import reporter
from mediafleet_scheduler.community.exchange import telling
from mediafleet_scheduler.community.exchange.door import telling as telling_of
from mediafleet_scheduler.community.exchange.redis import Place
from mediafleet_scheduler.community.settings import Settings, Telling
from mediafleet_testbed.real_servers import RedisServer, redis_server
from mediafleet_testbed.story.waiting import until

pytestmark = pytest.mark.timeout(300)
SECONDS: Final = 90.0
PEERS: Final = ("203.0.114.7", "203.0.115.9", "203.0.116.3", "10.0.0.9")
ALL: Final = Share(own_streams=True, gateways_by_origin=True, streams_by_origin=True)
ADDRESS: Final = re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b|0x[0-9a-f]{8}")


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@asynccontextmanager
async def served(serving: Callable[..., Any], *arguments: Any, **more: Any) -> AsyncIterator[Any]:
    """What a process says when it is ready, until left."""
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serving(*arguments, stop, ready.set_result, registry=CollectorRegistry(), **more)
    )
    try:
        async with asyncio.timeout(SECONDS):
            told = await ready
        yield told
    finally:
        stop.set()
        await task


async def stream(session: aiohttp.ClientSession, door: str, peer: str, manifest: str) -> None:
    """Post a segment as a gateway at an address does."""
    name = manifest.encode()
    segment = base64.b64encode(bytes([0x0A, len(name)]) + name + bytes([0x10, 5])).decode()
    headers = {"Livepeer-Segment": segment, "X-Test-Source": peer}
    async with session.post(f"https://{door}/segment", headers=headers, ssl=False) as answer:
        assert answer.status == 200


async def ask(port: int, number: int) -> None:
    """Ask for nodes, as a gateway with a key of its own."""
    address, signature = eth.sign(eth.private_key(f"{number:064x}"))
    request = OrchestratorRequest(address=address, sig=signature).SerializeToString()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await channel.unary_unary(GET_ORCHESTRATOR)(request, timeout=SECONDS)


@dataclass
class Scene:
    """A pool whose processes run, and the gateways that come to it."""

    session: aiohttp.ClientSession
    time: Time
    redis: RedisServer
    door: str
    advertiser: int
    reporter: int
    looked: asyncio.Event

    async def summary(self) -> dict[str, Any]:
        async with self.session.get(f"http://127.0.0.1:{self.reporter}/summary") as answer:
            return dict(await answer.json())

    async def inside(self) -> str:
        """What the Redis holds of this moment."""
        name = "mediafleet:community:{media/transcoders}:now"
        command = ["redis-cli", "-p", str(self.redis.port), "hvals", name]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=True
        )
        return done.stdout

    async def seen(self) -> str:
        """Have all gateways come again; what is told of it."""
        for peer in PEERS:
            for number in range(3):
                await stream(self.session, self.door, peer, f"{peer}-{number}")
        for number in range(1, 5):
            await ask(self.advertiser, number)
        return await self.inside()

    async def an_hour(self) -> dict[str, Any]:
        """Let one go by with these gateways; the hour as it is published."""
        start = self.time.now
        for _ in range(4):
            await until("what is told", self.seen, all_told, SECONDS, pause_seconds=0.05)
            self.time.now += 15
            for _ in range(2):
                self.looked.clear()
                await asyncio.wait_for(self.looked.wait(), SECONDS)
        self.time.now = start + 3600
        found = await until("it", self.summary, lambda said: bool(hours(said, start)), SECONDS)
        return hours(found, start)[0]


def all_told(text: str) -> bool:
    """Whether four ask and three stream: the fourth has an address that was rewritten."""
    told = [json.loads(line) for line in text.splitlines() if line]
    counts = [
        len({each["name"] for one in told for each in one["sources"] if each[what]})
        for what in ("asks", "streams")
    ]
    return counts == [4, 3]


def hours(summary: dict[str, Any], start: float) -> list[dict[str, Any]]:
    """The hours of which something is published, from this one on."""
    wanted = [each for each in summary.get("hours", []) if each.get("groups")]
    return [each for each in wanted if each["start"] >= rfc3339(start)]


@asynccontextmanager
async def a_door(folder: Path) -> AsyncIterator[proxied.Proxied]:
    """A node and its drain proxy, to which gateways come from where they say."""
    async with proxied.a_node() as node:
        door = proxied.before(node, folder)
        config = render(door.proxy.files, door.address, node, origins=True)
        told = "  http-request set-src hdr(X-Test-Source)\n  http-request set-var(txn.net)"
        door.proxy.files.config.write_text(config.replace("  http-request set-var(txn.net)", told))
        async with door.running():
            yield door


@asynccontextmanager
async def a_pool(redis: RedisServer, folder: Path, looked: asyncio.Event) -> AsyncIterator[Scene]:
    """All processes of one, until left."""
    time, pool = Time(), OnePool(POOL)
    place = Place(redis.url, "media/transcoders")
    database = folder / "places.mmdb"
    write_mmdb(database, "203.0.0.0/8", {"country": {"iso_code": "DE"}})
    async with AsyncExitStack() as stack:
        door = await stack.enter_async_context(a_door(folder))
        await stack.enter_async_context(
            telling_of(place, door.proxy, database, (), time.clock),
        )
        community = Community(region="eu-west", share=ALL)
        settings = Settings("127.0.0.1:0", community, folder / "state", place, clock=time.clock)
        port = await stack.enter_async_context(served(report_only.serve, settings, pool))
        advertiser = desk.Settings(
            "127.0.0.1:0", "127.0.0.1:0", None, telling=Telling(place), clock=time.clock
        )
        advertising = await stack.enter_async_context(served(desk.serve, advertiser, pool))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Scene(session, time, redis, door.address, advertising.grpc_port, port, looked)


async def test_streams_by_origin_and_who_asks_come_from_door_and_advertiser(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, look = asyncio.Event(), reporter.Reporter.look

    def noted(mine: reporter.Reporter) -> bool:
        looked.set()
        return look(mine)

    monkeypatch.setattr(telling, "TELL_SECONDS", 0.05)
    monkeypatch.setattr(reporter, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(reporter.Reporter, "look", noted)
    async with a_pool(redis, tmp_path, looked) as scene:
        first = await scene.an_hour()
        assert first["groups"]["world"]["asking"] == "3-5"
        assert first["groups"]["world"]["streaming"] == "3-5"
        assert first["groups"]["world"]["average"] == 10
        # The second day, whose groups are fixed from the first.
        scene.time.now = (scene.time.now // 86_400 + 1) * 86_400
        second = await scene.an_hour()
        assert set(second["groups"]) == {"country DE", "world"}
        assert second["groups"]["country DE"]["average"] == 10
        assert second["groups"]["country DE"]["streaming"] == "3-5"
        assert second["groups"]["world"] == {"asking": "3-5"}
        said = [await scene.inside(), json.dumps(await scene.summary())]
        said += [each.read_text() for each in (tmp_path / "state").iterdir()]
        for text in said:
            assert not ADDRESS.search(text), text

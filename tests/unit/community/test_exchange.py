"""Doors and advertisers tell a reporter by a Redis, and no address is in it, in a page or a log."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping

import fakeredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import RedisError
from tests.kit.community import Time
from tests.unit.community.test_privacy import ADDRESS, ADDRESSES

from mediafleet_common.api.community import Community, Share
from mediafleet_scheduler.community.exchange.redis import Exchange, ExchangeError
from mediafleet_scheduler.community.exchange.telling import Teller
from mediafleet_scheduler.community.origins import Origins
from mediafleet_scheduler.community.pages import Pages
from mediafleet_scheduler.community.reporter import Reporter
from mediafleet_scheduler.core.community.cells import WORLD, Cell
from mediafleet_scheduler.core.community.origins.told import Heard
from mediafleet_scheduler.core.community.publishing import OwnFigures
from mediafleet_scheduler.core.community.rendering import as_json, as_prometheus

ALL = Share(own_streams=True, gateways_by_origin=True, streams_by_origin=True)
PEERS = ["203.0.114.7", "198.51.101.3", "192.0.3.9", "8.8.4.4"]


class World:
    """A Redis, an advertiser, two nodes and a reporter, on a clock that the test turns."""

    def __init__(self, share: Share = ALL, k: int = 3) -> None:
        self.time = Time()
        self.server = fakeredis.FakeServer()
        self.streams: list[dict[str, int]] = [{}, {}]
        self.advertiser = self.teller("advertiser")
        self.nodes = [self.teller(f"node-{number}", number) for number in range(2)]
        community = Community(region="eu-west", share=share, k=k)
        self.reporter = Reporter(
            community, lambda: 7, clock=self.time.clock, exchange=self.exchange()
        )

    def exchange(self) -> Exchange:
        client = fakeredis.FakeAsyncRedis(server=self.server, decode_responses=True)
        return Exchange(client, "media/transcoders", self.time.clock)

    def teller(self, who: str, node: int | None = None) -> Teller:
        async def streams() -> Mapping[str, int]:
            return {} if node is None else self.streams[node]

        return Teller(self.exchange(), who, Origins(None), streams=streams, clock=self.time.clock)

    async def look(self, asking: list[str] | None = None) -> None:
        for teller in (self.advertiser, *self.nodes):
            await teller.look()
        for each in asking or []:
            self.advertiser.asked(None, each)
        await self.advertiser.look()
        await self.reporter.hear()
        self.reporter.look()
        self.time.now += 60

    async def hour(self, asking: list[str] | None = None, looks: int = 60) -> None:
        for _ in range(looks):
            await self.look(asking)

    def published(self) -> Mapping[Cell, object]:
        self.reporter.look()
        return self.reporter.shared.hours[-1].groups

    def inside(self) -> str:
        """All that the Redis holds."""
        redis = fakeredis.FakeRedis(server=self.server, decode_responses=True)
        held: list[object] = []
        for key in redis.keys("*"):
            held += [key, redis.hgetall(key) if "now" in key else redis.get(key)]
            assert 0 < redis.ttl(key) <= 26 * 3600
        return json.dumps(held)


async def test_streams_and_who_asks_arrive_in_the_published_hour_as_one_source_each() -> None:
    world = World()
    # A gateway that streams to two nodes is one; a rewritten address is nobody.
    world.streams[:] = [{PEERS[0]: 4, PEERS[1]: 4, "10.0.0.1": 50}, {PEERS[0]: 2, PEERS[2]: 3}]
    await world.hour(PEERS)
    (found,) = world.published().items()
    cell, figures = found
    assert cell == WORLD
    assert figures.average == 15  # type: ignore[attr-defined]
    assert figures.maximum == 15  # type: ignore[attr-defined]
    assert figures.streaming == (3, 5)  # type: ignore[attr-defined]
    assert figures.asking == (3, 5)  # type: ignore[attr-defined]
    assert world.reporter.complaint is None


@pytest.mark.parametrize(
    ("share", "has"),
    [
        (Share(gateways_by_origin=True), {"asking"}),
        (Share(streams_by_origin=True), {"average", "maximum", "streaming"}),
        (Share(), set()),
    ],
)
async def test_only_what_is_chosen_is_counted(share: Share, has: set[str]) -> None:
    world = World(share)
    world.streams[0] = dict.fromkeys(PEERS, 2)
    await world.hour(PEERS)
    world.reporter.look()
    (hour,) = as_json(world.reporter.shared)["hours"]
    assert set(hour["groups"].get("world", {})) == has


async def test_what_is_named_as_midnight_comes_is_not_told_under_the_key_after_it() -> None:
    world = World()
    world.time.now += 24 * 3600 - 1

    async def streams() -> Mapping[str, int]:
        world.time.now += 2
        return {PEERS[0]: 1}

    teller = Teller(
        world.exchange(), "node-0", Origins(None), streams=streams, clock=world.time.clock
    )
    await teller.look()
    assert not list((await world.exchange().hear()).uses)
    await teller.look()
    assert len(list((await world.exchange().hear()).uses)) == 1


async def test_what_is_heard_as_midnight_comes_is_of_neither_day() -> None:
    world = World()
    await world.look(PEERS)

    class Slow(Exchange):
        async def hear(self) -> Heard:
            found = await super().hear()
            world.time.now += 24 * 3600
            return found

    slow = Slow(world.exchange().client, "media/transcoders", world.time.clock)
    await world.look(PEERS)
    late = Reporter(
        Community(region="eu-west", share=ALL), lambda: 7, clock=world.time.clock, exchange=slow
    )
    await late.hear()
    assert late._uses(world.time.now) is None


async def test_at_midnight_names_are_new_and_no_source_is_two() -> None:
    world = World()
    world.time.now += 23 * 3600
    world.streams[0] = {PEERS[0]: 5, PEERS[1]: 5}
    await world.hour(PEERS[:2])
    await world.hour(PEERS[:2])
    world.reporter.look()
    # Two sources are below k, also in the hour after midnight.
    assert [each.groups for each in world.reporter.shared.hours][-2:] == [{}, {}]


async def test_a_redis_that_was_emptied_makes_origins_unknown_and_no_zero() -> None:
    world = World()
    world.streams[0] = dict.fromkeys(PEERS, 5)
    await world.hour(looks=30)
    fakeredis.FakeRedis(server=world.server).flushall()
    await world.hour(looks=30)
    assert "emptied" in str(world.reporter.complaint)
    (figures,) = world.published().values()
    assert figures.average == 20  # type: ignore[attr-defined]


async def test_who_stops_telling_counts_no_more_and_nobody_is_complained_about() -> None:
    world = World()
    world.streams[0] = dict.fromkeys(PEERS, 5)
    await world.look()
    world.time.now += 60
    await world.reporter.hear()
    assert world.reporter.complaint == "nobody tells who asks or streams"


class Silent:
    """A Redis that is away."""

    async def config_get(self, _: str) -> dict[str, str]:
        raise RedisError("127.0.0.1:6379 is away")


async def test_a_redis_that_is_away_is_said_without_its_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    time = Time()
    exchange = Exchange(Silent(), "media/transcoders", time.clock)  # type: ignore[arg-type]
    teller = Teller(exchange, "node", Origins(None), clock=time.clock)
    for _ in range(3):
        teller.asked(None, PEERS[0])
        await teller.look()
    assert caplog.text.count("origins are not told: the Redis of origins: RedisError") == 1
    assert "127.0.0.1" not in caplog.text


class Writes(Silent):
    """A Redis that writes to disk."""

    async def config_get(self, name: str) -> dict[str, str]:
        return {"save": "3600 1"} if name == "save" else {"appendonly": "no"}


async def test_a_redis_that_writes_to_disk_is_refused() -> None:
    exchange = Exchange(Writes(), "media/transcoders")  # type: ignore[arg-type]
    with pytest.raises(ExchangeError, match="writes to disk"):
        await exchange.key()


@settings(max_examples=10, deadline=None)
@given(st.lists(ADDRESSES, min_size=1, max_size=6, unique=True))
def test_no_address_is_in_the_redis_a_page_a_status_or_a_log(peers: list[str]) -> None:
    log = logging.getLogger()
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    try:
        world = asyncio.run(_lived(peers))
    finally:
        log.removeHandler(handler)
    shared = world.reporter.shared
    status = json.dumps(Pages(world.reporter).status())
    for text in (world.inside(), json.dumps(as_json(shared)), as_prometheus(shared), status, *said):
        assert not ADDRESS.search(text), text
        assert not any(each in text for each in peers)


async def _lived(peers: list[str]) -> World:
    world = World()
    world.streams[0] = dict.fromkeys(peers, 3)
    await world.hour(peers, looks=5)
    world.time.now += 3600
    await world.look(peers)
    return world


def test_what_a_door_keeps_between_looks_has_no_address() -> None:
    world = asyncio.run(_lived(PEERS))
    kept = repr(world.advertiser._asked) + repr(world.nodes[0]._asked)
    assert "advertiser" not in kept
    assert not any(each in kept for each in PEERS)


async def test_streams_by_origin_are_told_with_own_streams_of_whole_hours_alone() -> None:
    world = World()
    world.streams[0] = dict.fromkeys(PEERS, 2)
    await world.hour(PEERS)
    world.reporter.look()
    told = world.reporter.shared
    assert told.own_now is None
    assert told.hours[-1].own == OwnFigures(average=5, maximum=5)
    assert 'figure="now"' not in as_prometheus(told)


async def test_own_streams_go_on_while_origins_are_not_known_only_where_none_are_told() -> None:
    told = []
    for share in (ALL, Share(own_streams=True, gateways_by_origin=True)):
        world = World(share)
        for _ in range(61):
            world.reporter.look()
            world.time.now += 60
        told.append(world.reporter.shared.hours[-1].own)
    assert told == [None, OwnFigures(average=5, maximum=5)]

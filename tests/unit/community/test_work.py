"""Desks, brokers and nodes tell a reporter of work by a Redis; it is published by name alone."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import fakeredis
import pytest
from redis.exceptions import RedisError
from tests.kit.community import MIDNIGHT, Time

from mediafleet_common.api.community import Community, Share
from mediafleet_scheduler.community.exchange import door
from mediafleet_scheduler.community.exchange.redis import Exchange
from mediafleet_scheduler.community.exchange.work import WorkTeller
from mediafleet_scheduler.community.pages import Pages
from mediafleet_scheduler.community.reporter import Reporter
from mediafleet_scheduler.community.state import State
from mediafleet_scheduler.core.community.rendering import as_json, as_prometheus
from mediafleet_scheduler.core.community.work.kinds import Family, Kind, Work
from mediafleet_scheduler.core.community.work.sources import Namer

if TYPE_CHECKING:
    import aiohttp

SHARE = Share(egress_by_type=True, egress_minutes=True)
TOLD = (Kind.EGRESS_BY_TYPE, Kind.EGRESS_MINUTES)


class World:
    """A Redis, a desk and a reporter, on a clock that the test turns."""

    def __init__(self, share: Share = SHARE, folder: Path | None = None) -> None:
        self.time = Time(MIDNIGHT)
        self.server = fakeredis.FakeServer()
        self.rooms: dict[str, int] | None = {}
        self.desk = WorkTeller(self.exchange(), "desk", TOLD, self.work)
        self.share = share
        self.folder = folder
        self.reporter = self.begin()

    def begin(self) -> Reporter:
        """A reporter that has just started."""
        return Reporter(
            Community(region="eu-west", share=self.share),
            lambda: 7,
            clock=self.time.clock,
            state=None if self.folder is None else State(self.folder),
            exchange=self.exchange(),
        )

    def exchange(self) -> Exchange:
        client = fakeredis.FakeAsyncRedis(server=self.server, decode_responses=True)
        return Exchange(client, "media/transcoders", self.time.clock)

    async def work(self, name: Namer) -> Iterable[Work] | None:
        if self.rooms is None:
            return None
        return [
            Work(name(room), Family.EGRESS, jobs, {Kind.EGRESS_BY_TYPE: "web"})
            for room, jobs in self.rooms.items()
        ]

    async def hours(self, count: int = 1) -> None:
        for _ in range(count * 60):
            await self.desk.look()
            await self.reporter.hear()
            if self.reporter.look():
                self.reporter.keep()
            self.time.now += 60
        if self.reporter.look():
            self.reporter.keep()

    def told(self) -> list[object]:
        """Of each hour."""
        return [each.get("work", {}) for each in as_json(self.reporter.shared)["hours"]]


ROOMS = {"standup": 4, "all hands": 5, "demo": 6}


async def test_jobs_arrive_in_the_published_hour_and_no_room_does() -> None:
    world = World()
    world.rooms = dict(ROOMS)
    await world.hours()
    assert world.told() == [{"egressByType": {"all": 15}, "egressMinutes": {"all": 885}}]
    redis = fakeredis.FakeRedis(server=world.server, decode_responses=True)
    (place,) = [key for key in redis.keys("*") if ":work:" in key]
    assert 0 < redis.ttl(place) <= 26 * 3600
    held = json.dumps(redis.hgetall(place)) + as_prometheus(world.reporter.shared)
    assert not any(room in held for room in ROOMS)


async def test_a_type_has_its_own_cell_on_the_second_day_also_after_a_restart(
    tmp_path: Path,
) -> None:
    world = World(folder=tmp_path)
    world.rooms = dict(ROOMS)
    world.time.now += 23 * 3600
    world.reporter = world.begin()
    await world.hours(2)
    assert world.told()[-1] == {"egressByType": {"web": 15}, "egressMinutes": {"all": 900}}
    world.reporter = world.begin()
    await world.hours()
    assert world.told()[-1]["egressByType"] == {"web": 15}  # type: ignore[index]


async def test_what_is_not_chosen_is_neither_heard_nor_told() -> None:
    world = World(Share())
    world.rooms = dict(ROOMS)
    await world.hours()
    assert world.told() == [{}]
    assert world.reporter.complaint is None


async def test_kinds_of_which_nobody_tells_are_named_in_the_status() -> None:
    world = World(Share(egress_by_type=True, pixels=True))
    assert Pages(world.reporter).status()["workUntold"] == ["egressByType", "pixels"]
    await world.desk.look()
    await world.reporter.hear()
    status = Pages(world.reporter).status()
    assert status["workUntold"] == ["pixels"]
    assert status["shares"] == ["ownStreams", "egressByType", "pixels"]


async def test_time_in_which_work_is_not_known_is_a_gap_and_no_zero() -> None:
    world = World()
    world.rooms = dict(ROOMS)
    for known in (True, False):
        world.rooms = dict(ROOMS) if known else None
        for _ in range(30):
            await world.desk.look()
            await world.reporter.hear()
            world.reporter.look()
            world.time.now += 60
    world.reporter.look()
    assert world.told()[0]["egressByType"] == {"all": 15}  # type: ignore[index]


async def test_rooms_of_fewer_than_k_are_told_as_nothing_is() -> None:
    world = World()
    world.rooms = {"standup": 40, "demo": 50}
    await world.hours()
    assert world.told() == [{}]


async def test_a_node_tells_its_pixels_once_and_only_between_two_readings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings = [100.0, 130.0, 145.0]

    async def fetched(*_: object) -> bytes:
        labels = 'client_ip="203.0.114.7",manifest_id="a"'
        return f"livepeer_mil_pixels_processed{{{labels}}} {readings.pop(0)}\n".encode()

    monkeypatch.setattr(door, "fetch", fetched)
    time = Time()
    node = door.ClientIps(cast("aiohttp.ClientSession", None), "http://node", clock=time.clock)
    assert await node.streams() == {}
    assert await node.pixels(str) is None
    time.now += 15
    assert await node.streams() == {"203.0.114.7": 1}
    assert await node.pixels(str) == [Work("203.0.114.0/24", Family.PIXELS, 2.0)]
    assert await node.pixels(str) is None
    time.now += 5
    await node.streams()
    assert await node.pixels(str) == [Work("203.0.114.0/24", Family.PIXELS, 3.0)]


class Silent:
    """A Redis that is away."""

    async def config_get(self, _: str) -> dict[str, str]:
        raise RedisError("127.0.0.1:6379 is away")


async def test_a_redis_that_is_away_is_said_once_and_without_its_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    exchange = Exchange(Silent(), "media/transcoders")  # type: ignore[arg-type]
    teller = WorkTeller(exchange, "desk", TOLD, World().work)
    for _ in range(3):
        await teller.look()
    assert caplog.text.count("work is not told: the Redis of origins: RedisError") == 1
    assert "127.0.0.1" not in caplog.text

"""The reporter: counts what is shared, remembers no address, shows the same on both pages."""

from __future__ import annotations

import gc
import ipaddress
import json

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from tests.kit.community import MIDNIGHT, PEERS, Time, an_hour, reporter

from mediafleet_common.api.community import Share
from mediafleet_scheduler.community.pages import Pages
from mediafleet_scheduler.core.community.collecting import read_summary
from mediafleet_scheduler.core.community.rendering import as_json, as_prometheus


def test_gateways_of_one_network_count_once_and_rewritten_addresses_not_at_all() -> None:
    time = Time()
    mine = reporter(time)
    an_hour(time, mine, PEERS)
    (hour,) = as_json(mine.shared)["hours"]
    assert hour["groups"] == {"world": {"asking": "3-5"}}
    assert hour["own"] == {"average": 10, "maximum": 10}


def test_fewer_than_k_gateways_are_not_told() -> None:
    time = Time()
    mine = reporter(time)
    an_hour(time, mine, PEERS[:3])
    (hour,) = as_json(mine.shared)["hours"]
    assert hour["groups"] == {}


def test_what_is_not_shared_is_not_counted() -> None:
    time = Time()
    mine = reporter(time, Share(own_streams=False, gateways_by_origin=False))
    an_hour(time, mine, PEERS)
    assert as_prometheus(mine.shared).count("\n") == 3
    assert "streams" not in as_prometheus(mine.shared)
    assert "asking" not in json.dumps(as_json(mine.shared))


def test_an_unknown_load_is_no_figure() -> None:
    time = Time()
    mine = reporter(time, streams=lambda: None)
    an_hour(time, mine, [])
    assert "own_streams" not in as_prometheus(mine.shared)


def test_no_address_is_kept_anywhere() -> None:
    time = Time()
    mine = reporter(time)
    asked = ipaddress.ip_address("203.0.114.77").exploded
    mine.asked(None, asked)
    mine.look()
    held = [each for each in gc.get_referents(mine) if isinstance(each, dict)]
    assert "203.0.114" not in repr(held)
    assert "203.0.114" not in as_prometheus(mine.shared) + json.dumps(as_json(mine.shared))


def test_the_names_of_a_day_end_with_it() -> None:
    time = Time(MIDNIGHT + 86_400 - 3600)
    mine = reporter(time)
    an_hour(time, mine, PEERS[:2])
    # The same two networks, before and after midnight, are two sources and not four.
    an_hour(time, mine, PEERS[:3])
    assert all(hour["groups"] == {} for hour in as_json(mine.shared)["hours"])


async def test_both_pages_show_what_is_shared() -> None:
    time = Time()
    mine = reporter(time)
    an_hour(time, mine, PEERS)
    app = web.Application()
    app.add_routes(Pages(mine).routes())
    async with TestClient(TestServer(app)) as client:
        summary = await (await client.get("/summary")).read()
        text = await (await client.get("/metrics/community")).text()
    assert read_summary(summary).region == "eu-west"
    assert json.loads(summary) == as_json(mine.shared)
    assert text == as_prometheus(mine.shared)

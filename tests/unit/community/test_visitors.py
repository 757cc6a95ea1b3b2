"""Lists from the chain, and detail for those who share: by a wallet or by invitation."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from coincurve import PrivateKey
from tests.kit.community import PEERS, Time, an_hour, reporter

from mediafleet_common.api.community import Share
from mediafleet_common.formats import eth
from mediafleet_common.formats.reach import OWN_WORD, PUBLIC, Reach
from mediafleet_common.serving.tls import self_signed_context
from mediafleet_common.serving.unary.port import UnaryPort
from mediafleet_scheduler.community.collector import Collector
from mediafleet_scheduler.community.pages import Pages
from mediafleet_scheduler.community.public import PublicPages
from mediafleet_scheduler.community.state import State
from mediafleet_scheduler.community.visitors import MOST_SESSIONS, SESSION_SECONDS, Visitors
from mediafleet_scheduler.core.community.members.chain import NoListError

Client = TestClient[web.Request, web.Application]
KEY, OTHER = PrivateKey(b"\x07" * 32), PrivateKey(b"\x08" * 32)
AWAY = "https://127.0.0.1:9"
TOKEN = "t" * 16


def listed(folder: Path, *entries: object) -> str:
    file = folder / "orchestrators.json"
    file.write_text(json.dumps(entries))
    return str(file)


@asynccontextmanager
async def sharing(time: Time, *, detail: bool = True) -> AsyncIterator[str]:
    """An operator's port that gateways call; its service URI."""
    mine = reporter(time, Share(gateways_by_origin=True, detail=detail))
    an_hour(time, mine, PEERS)
    contexts = self_signed_context(["127.0.0.1"], pages=True)
    pages = PublicPages(mine).answer
    async with UnaryPort("127.0.0.1:0", {}, contexts, pages=pages) as port:
        yield f"https://127.0.0.1:{port.port}"


@asynccontextmanager
async def visited(
    collector: Collector, time: Time, file: Path | None = None
) -> AsyncIterator[Client]:
    app = web.Application()
    app.add_routes(Visitors(collector, time.clock, file).routes())
    async with TestClient(TestServer(app)) as client:
        yield client


def collector_of(place: str, time: Time, strangers: Reach = OWN_WORD) -> Collector:
    return Collector([], "Example", time.clock, place, strangers)


async def signed_in(client: Client, key: PrivateKey) -> tuple[int, dict[str, str]]:
    message = (await (await client.get("/detail/message")).json())["message"]
    signature = eth.sign_personal(key, message.encode()).hex()
    body = {"message": message, "signature": signature}
    answer = await client.post("/detail/session", json=body)
    return answer.status, await answer.json()


async def read(client: Client, token: str) -> tuple[int, dict[str, Any]]:
    answer = await client.get("/detail", headers={"Authorization": f"Bearer {token}"})
    return answer.status, await answer.json()


def identity(key: PrivateKey) -> str:
    return "0x" + eth.address_of(key.public_key).hex()


async def test_all_of_a_list_are_asked_where_gateways_call_and_others_have_no_summary(
    tmp_path: Path,
) -> None:
    time = Time()
    async with sharing(time) as url:
        collector = collector_of(listed(tmp_path, url, AWAY, "ftp://x"), time)
        await collector.read_list()
        await collector.look()
        assert list(collector.summaries) == [url]
        refused = {each["target"]: str(each["refused"]) for each in collector.operators()}
        assert refused[url] == "None"
        assert all(refused[each].startswith("no summary: ") for each in (AWAY, "ftp://x"))
        view = json.loads(collector.view)
        assert (view["shared"], view["unknown"]) == (1, 2)

        listed(tmp_path, AWAY)
        await collector.read_list()
        assert len(collector.targets) == 3
        time.now += 600
        await collector.read_list()
        assert list(collector.targets) == [AWAY]


async def test_strangers_on_the_list_cannot_have_us_dial_this_machine(tmp_path: Path) -> None:
    time = Time()
    async with sharing(time) as url:
        collector = collector_of(listed(tmp_path, url), time, PUBLIC)
        await collector.read_list()
        await collector.look()
        (told,) = collector.operators()
        assert "may not be dialled" in str(told["refused"])
        assert collector.summaries == {}


async def test_a_list_that_cannot_be_read_leaves_the_one_in_force(tmp_path: Path) -> None:
    time = Time()
    collector = collector_of(listed(tmp_path, AWAY), time)
    await collector.read_list()
    (tmp_path / "orchestrators.json").write_text("{")
    time.now += 600
    with pytest.raises(NoListError, match="no JSON"):
        await collector.read_list()
    assert list(collector.targets) == [AWAY]
    for place in (str(tmp_path / "none"), "http://127.0.0.1:9/list"):
        with pytest.raises(NoListError):
            await collector_of(place, time).read_list()


async def test_a_wallet_on_the_list_sees_detail_while_it_shares(tmp_path: Path) -> None:
    time = Time()
    async with sharing(time) as url, sharing(time, detail=False) as silent:
        place = listed(
            tmp_path,
            {"serviceURI": url, "id": identity(KEY)},
            {"serviceURI": AWAY, "id": identity(OTHER)},
            silent,
        )
        collector = collector_of(place, time)
        await collector.read_list()
        await collector.look()
        async with visited(collector, time) as client:
            status, told = await signed_in(client, KEY)
            assert status == 200
            status, seen = await read(client, told["token"])
            assert status == 200
            (operator,) = seen["operators"]
            assert operator["operator"] == url
            assert operator["hours"][0]["groups"]["world"]["asking"] == "3-5"

            status, refused = await signed_in(client, OTHER)
            assert (status, "no report of yours" in refused["message"]) == (403, True)
            status, refused = await signed_in(client, PrivateKey(b"\x09" * 32))
            assert (status, "not on the list" in refused["message"]) == (403, True)

            collector.targets[url].accepted_at = time.now - 86_400
            assert (await read(client, told["token"]))[0] == 403
            collector.targets[url].accepted_at = time.now
            time.now += SESSION_SECONDS
            assert (await read(client, told["token"]))[0] == 401


async def test_who_is_invited_sees_detail_while_their_operator_shares(tmp_path: Path) -> None:
    time, file = Time(), tmp_path / "invitations.yaml"
    async with sharing(time) as url:
        collector = collector_of(listed(tmp_path, url, AWAY), time)
        await collector.read_list()
        await collector.look()
        async with visited(collector, time, file) as client:
            assert (await read(client, TOKEN))[0] == 401
            for target, status in ((url, 200), (AWAY, 403)):
                invited = {"invitations": [{"token": TOKEN, "target": target}]}
                file.write_text(json.dumps(invited))
                assert (await read(client, TOKEN))[0] == status
            assert (await read(client, TOKEN + "x"))[0] == 401
            assert (await client.get("/detail")).status == 401


async def test_noise_signs_nobody_in_and_sessions_are_bounded(tmp_path: Path) -> None:
    time = Time()
    async with sharing(time) as url:
        place = listed(tmp_path, {"serviceURI": url, "id": identity(KEY)})
        collector = collector_of(place, time)
        await collector.read_list()
        await collector.look()
        async with visited(collector, time) as client:
            for body in (b"{}", b"\xff", b"[]", b'{"message": 1}'):
                assert (await client.post("/detail/session", data=body)).status == 400
            answer = await client.get("/detail/message", headers={"Host": "a b"})
            assert answer.status == 400
            first = (await signed_in(client, KEY))[1]["token"]
            for _ in range(MOST_SESSIONS):
                assert (await signed_in(client, KEY))[0] == 200
            assert (await read(client, first))[0] == 401


async def test_an_address_that_the_user_names_signs_in_for_its_target(tmp_path: Path) -> None:
    time = Time()
    mine = reporter(time, Share(detail=True), state=State(tmp_path))
    an_hour(time, mine, PEERS)
    app = web.Application()
    app.add_routes(Pages(mine).routes())
    async with TestServer(app) as server:
        url = str(server.make_url("/"))
        named = {url: eth.address_of(KEY.public_key), AWAY: None}
        collector = Collector(named, "Example", time.clock)
        await collector.look()
        async with visited(collector, time) as client:
            status, told = await signed_in(client, KEY)
            assert status == 200
            assert (await read(client, told["token"]))[0] == 200
            assert (await signed_in(client, OTHER))[0] == 403

"""A collector that knows winning tickets: who lies is marked and in no sum, who is silent is
estimated beside the sums."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.kit.community import Time
from tests.unit.community.checks.test_tickets import log

from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.serving.tls import self_signed_context
from mediafleet_common.serving.unary.pages import Page
from mediafleet_common.serving.unary.port import UnaryPort
from mediafleet_scheduler.community.collector import Collector
from mediafleet_scheduler.community.tickets.paid import Paid
from mediafleet_scheduler.community.tickets.winning import NoTicketsError, Winning

FACE, PRICE, BLOCK_SECONDS, TICKETS = 10_000, 1000.0, 12, 96


def address(number: int) -> str:
    return f"0x{number:040x}"


@dataclass
class Rpc:
    """A stand-in of a node of the chain: a block each 12 s, and some tickets in them."""

    time: Time
    logs: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refuses: bool = False

    async def answer(self, request: web.Request) -> web.Response:
        call = await request.json()
        self.asked.append(call["method"])
        if self.refuses:
            return web.json_response({"error": {"message": "key 1234 is over"}})
        if call["method"] == "eth_getBlockByNumber":
            which = call["params"][0]
            number = int(self.time.now) // BLOCK_SECONDS if which == "latest" else int(which, 16)
            block = {"number": hex(number), "timestamp": hex(number * BLOCK_SECONDS)}
            return web.json_response({"result": block})
        (query,) = call["params"]
        assert (query["address"], query["toBlock"]) == ("0xbroker", "latest")
        first = int(query["fromBlock"], 16)
        found = [each for each in self.logs if int(each["blockNumber"], 16) >= first]
        return web.json_response({"result": found})

    def pay(self, number: int, tickets: int, days_ago: float = 0.5) -> None:
        block = hex(int(self.time.now - days_ago * 86_400) // BLOCK_SECONDS)
        self.logs += [log(FACE, address(number), blockNumber=block)] * tickets


@asynccontextmanager
async def chain(rpc: Rpc) -> AsyncIterator[Winning]:
    """The RPC, whose URL holds a key."""
    app = web.Application()
    app.router.add_post("/key-1234", rpc.answer)
    async with TestServer(app) as server:
        yield Winning(str(server.make_url("/key-1234")), "0xbroker", rpc.time.clock)


@asynccontextmanager
async def sharing(average: float) -> AsyncIterator[str]:
    """An orchestrator's port, by its service URI."""
    day = {"average": average, "maximum": round(average) + 5, "hours": 24}
    body = json.dumps({"version": 1, "region": "eu-west", "day": day}).encode()
    page = Page(HTTPStatus.OK, "application/json", body)
    contexts = self_signed_context(["127.0.0.1"], pages=True)
    async with UnaryPort("127.0.0.1:0", {}, contexts, pages=lambda *_: page) as port:
        yield f"https://127.0.0.1:{port.port}"


async def test_the_liar_is_marked_and_left_out_and_the_silent_are_estimated_beside_the_sums(
    tmp_path: Path,
) -> None:
    rpc = Rpc(Time())
    async with AsyncExitStack() as stack:
        urls = [
            await stack.enter_async_context(sharing(average))
            for average in (40.0, 20.0, 60.0, 80.0)
        ]
        urls.append("https://127.0.0.1:9")
        for number, tickets in enumerate((96, 48, 144, 96, 24)):
            rpc.pay(number, tickets)
            rpc.pay(number, 500, days_ago=1.5)
        entries = [{"serviceURI": url, "id": address(n)} for n, url in enumerate(urls)]
        listed = tmp_path / "list.json"
        listed.write_text(json.dumps(entries))
        paid = Paid(await stack.enter_async_context(chain(rpc)), PRICE, rpc.time.clock)
        collector = Collector([], "Us", rpc.time.clock, str(listed), OWN_WORD, paid)
        await collector.once()

        *honest, liar, silent = urls
        view = collector.together()
        (row,) = view.regions
        assert (row.operators, row.average) == (3, 120.0)
        assert view.unknown == sorted([liar, silent])
        assert collector.payouts.marked == {liar}

        shown = json.loads(collector.view)
        assert (shown["shared"], shown["unknown"], shown["marked"]) == (3, 2, 1)
        assert shown["regions"][0]["average"] == 120.0
        # What the liar and the silent are paid, by what the others have for it.
        assert shown["estimated"] == {"streams": 50.0, "low": 50.0, "high": 50.0, "sharers": 3}
        assert "127.0.0.1" not in collector.view.decode()
        assert address(0) not in collector.view.decode()

        told = {each["target"]: each for each in collector.operators()}
        assert told[liar]["tickets"]["marked"] is True
        assert told[liar]["estimated"]["streams"] == 40.0
        assert [told[url]["tickets"]["verdict"] for url in honest] == ["within"] * 3
        assert told[silent]["estimated"]["streams"] == 10.0
        assert "tickets" not in told[silent]


async def test_tickets_are_of_the_last_day_and_asked_for_every_ten_minutes() -> None:
    rpc = Rpc(Time())
    rpc.pay(1, 3)
    rpc.pay(1, 2, days_ago=1.01)
    async with chain(rpc) as winning:
        assert len(await winning.tickets()) == 3
        assert len(rpc.asked) < 40
        paid = Paid(winning, PRICE, rpc.time.clock)
        await paid.read()
        asked = len(rpc.asked)
        await paid.read()
        assert len(rpc.asked) == asked
        rpc.time.now += 600
        await paid.read()
        assert len(rpc.asked) > asked


async def test_tickets_that_cannot_be_read_leave_those_of_before_for_a_day(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rpc = Rpc(Time())
    rpc.pay(1, 40)
    async with chain(rpc) as winning:
        paid = Paid(winning, PRICE, rpc.time.clock)
        await paid.try_to_read()
        rpc.refuses = True
        rpc.time.now += 600
        await paid.try_to_read()
        assert "refused" in caplog.text
        # A URL or an answer may hold a key.
        assert "1234" not in caplog.text
        assert paid.knows
        rpc.time.now += 86_400
        await paid.try_to_read()
        assert not paid.knows


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"result": 5}', '[{"topics": []}]'])
async def test_a_file_that_holds_no_tickets_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tickets.json"
    file.write_text(text)
    with pytest.raises(NoTicketsError):
        await Winning(str(file)).tickets()


async def test_a_file_may_hold_the_answer_or_what_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "tickets.json"
    for body in ([log(5)], {"result": [log(5)]}):
        file.write_text(json.dumps(body))
        (ticket,) = await Winning(str(file)).tickets()
        assert ticket.face_value == 5
    with pytest.raises(NoTicketsError, match="No such file"):
        await Winning(str(tmp_path / "none")).tickets()
    with pytest.raises(NoTicketsError, match="does not answer"):
        await Winning("http://127.0.0.1:9/key-1234").tickets()

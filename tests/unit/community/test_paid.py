"""A collector that knows winning tickets: who lies is marked and in no sum, who is silent is
estimated beside the sums."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from tests.kit.community import Time
from tests.kit.rpc import BROKER, ChainRpc, serving
from tests.unit.community.checks.test_tickets import log

from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.serving.tls import self_signed_context
from mediafleet_common.serving.unary.pages import Page
from mediafleet_common.serving.unary.port import UnaryPort
from mediafleet_scheduler.community.collector import Collector
from mediafleet_scheduler.community.tickets.paid import Paid
from mediafleet_scheduler.community.tickets.rpc import NoTicketsError
from mediafleet_scheduler.community.tickets.winning import Winning

FACE, PRICE = 10_000, 1000.0


def address(number: int) -> str:
    return f"0x{number:040x}"


def pay(rpc: ChainRpc, number: int, tickets: int, days_ago: float = 0.5) -> None:
    """Winning tickets of that time."""
    block = hex(int(rpc.clock.unix() - days_ago * 86_400) // rpc.block_seconds)
    rpc.logs += [log(FACE, address(number), blockNumber=block)] * tickets


@asynccontextmanager
async def chain(rpc: ChainRpc) -> AsyncIterator[Winning]:
    """The RPC, whose URL holds a key."""
    async with serving(rpc) as url:
        yield Winning(url, BROKER, rpc.clock)


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
    time = Time()
    rpc = ChainRpc(time.clock)
    async with AsyncExitStack() as stack:
        urls = [
            await stack.enter_async_context(sharing(average))
            for average in (40.0, 20.0, 60.0, 80.0)
        ]
        urls.append("https://127.0.0.1:9")
        for number, tickets in enumerate((96, 48, 144, 96, 24)):
            pay(rpc, number, tickets)
            pay(rpc, number, 500, days_ago=1.5)
        entries = [{"serviceURI": url, "id": address(n)} for n, url in enumerate(urls)]
        listed = tmp_path / "list.json"
        listed.write_text(json.dumps(entries))
        paid = Paid(await stack.enter_async_context(chain(rpc)), PRICE, time.clock)
        collector = Collector([], "Us", time.clock, str(listed), OWN_WORD, paid)
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
    time = Time()
    rpc = ChainRpc(time.clock)
    pay(rpc, 1, 3)
    pay(rpc, 1, 2, days_ago=1.01)
    async with chain(rpc) as winning:
        assert len(await winning.tickets()) == 3
        assert len(rpc.asked) < 40
        paid = Paid(winning, PRICE, time.clock)
        await paid.read()
        asked = len(rpc.asked)
        await paid.read()
        assert len(rpc.asked) == asked
        time.now += 600
        await paid.read()
        assert len(rpc.asked) > asked


async def test_tickets_that_cannot_be_read_leave_those_of_before_for_a_day(
    caplog: pytest.LogCaptureFixture,
) -> None:
    time = Time()
    rpc = ChainRpc(time.clock)
    pay(rpc, 1, 40)
    async with chain(rpc) as winning:
        paid = Paid(winning, PRICE, time.clock)
        await paid.try_to_read()
        rpc.refuses = True
        time.now += 600
        await paid.try_to_read()
        assert "refused" in caplog.text
        # A URL or an answer may hold a key.
        assert "1234" not in caplog.text
        assert paid.knows
        time.now += 86_400
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

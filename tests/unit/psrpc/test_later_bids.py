"""Of several servers of a family one bids first, and the others where it does not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from mediafleet_scheduler.psrpc import channels
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.envelope import Bid, Grant, Request, decode, encode
from mediafleet_scheduler.psrpc.server import (
    LATER_SECONDS,
    MAX_LEFT_BYTES,
    RUSH,
    RUSH_SECONDS,
    LaterBids,
    Method,
    Server,
)
from mediafleet_testbed.buses import MemoryBus

SERVICE, METHOD = "EgressInternal", "StartEgress"
pytestmark = pytest.mark.looptime


class Stage:
    """Servers on one bus, and the bids that travel."""

    def __init__(self, bus: MemoryBus, client: Client) -> None:
        self.bus = bus
        self.client = client
        self.bids: list[str] = []
        self.ran: list[str] = []
        self.standing_by: list[bool] = []
        """What the servers said of it, in order."""
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def serve(
        self, stack: contextlib.AsyncExitStack, family: str = "kin"
    ) -> tuple[Server, Method]:
        server = await stack.enter_async_context(
            Server(self.bus, SERVICE, family=family, on_standby=self.standing_by.append)
        )

        async def handle(_: Request) -> bytes:
            self.ran.append(server.server_id)
            await self.may_end.wait()
            return b""

        return server, await server.register(METHOD, handle)

    def grant(self, server_id: str, request_id: str = "REQ_before") -> None:
        """A client grants a server a request."""
        grant = encode(Grant(request_id, server_id))
        self.bus.publish(channels.grant(SERVICE, METHOD), grant)

    async def ask(self) -> tuple[str, list[str], float]:
        """Who answered, who bid, and after how many seconds it was answered."""
        loop = asyncio.get_running_loop()
        self.bids.clear()
        began = loop.time()
        answer = await self.client.request(METHOD, b"", timeout_seconds=5)
        took = loop.time() - began
        await asyncio.sleep(2 * LATER_SECONDS)
        return answer.server_id, list(self.bids), took


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    bus = MemoryBus()
    async with Client(bus, SERVICE) as client:
        here = Stage(bus, client)
        await bus.subscribe(
            channels.bids(SERVICE, client.client_id),
            lambda data: here.bids.append(decode(data, Bid).server_id),
        )
        yield here


async def test_who_was_granted_the_last_request_bids_and_the_others_do_not(stage: Stage) -> None:
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stage.serve(stack) for _ in range(3)]
        _, bids, _ = await stage.ask()
        assert len(bids) == 3  # Nobody knows of anybody yet.
        for server, _ in servers:
            stage.grant(server.server_id)
            for _ in range(3):
                answered, bids, took = await stage.ask()
                assert (answered, bids) == (server.server_id, [server.server_id])
                assert took < LATER_SECONDS / 2
    assert len(stage.ran) == 10


async def test_where_the_first_is_gone_another_bids_soon_and_the_next_time_at_once(
    stage: Stage,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        (here, _), (gone, method) = [await stage.serve(stack) for _ in range(2)]
        stage.grant(gone.server_id)
        await method.close()
        answers = [await stage.ask() for _ in range(2)]
    assert [server for server, _, _ in answers] == [here.server_id] * 2
    late, soon = [took for _, _, took in answers]
    assert late == pytest.approx(LATER_SECONDS, abs=0.005)
    assert soon < LATER_SECONDS / 2


async def test_several_requests_that_the_first_does_not_take_are_each_bid_for(stage: Stage) -> None:
    async with contextlib.AsyncExitStack() as stack:
        here, _ = await stage.serve(stack)
        stage.grant("SRV_kin_gone")
        async with asyncio.TaskGroup() as tasks:
            for _ in range(5):
                tasks.create_task(stage.client.request(METHOD, b"", timeout_seconds=5))
                await asyncio.sleep(LATER_SECONDS / 4)
        assert stage.ran == [here.server_id] * 5


async def test_servers_of_no_family_all_bid_and_count_for_no_other(stage: Stage) -> None:
    async with contextlib.AsyncExitStack() as stack:
        plain, _ = await stage.serve(stack, family="")
        kin, _ = await stage.serve(stack)
        for _ in range(3):
            stage.grant(plain.server_id)
            _, bids, _ = await stage.ask()
            assert set(bids) == {plain.server_id, kin.server_id}


async def test_who_stops_bids_for_nothing_that_it_left_to_another(stage: Stage) -> None:
    async with contextlib.AsyncExitStack() as stack:
        _, method = await stage.serve(stack)
        stage.grant("SRV_kin_gone")
        asking = asyncio.create_task(stage.client.bidder(METHOD, b"", (), timeout_seconds=1))
        await asyncio.sleep(LATER_SECONDS / 2)
        await method.close()
        assert await asking is None
    assert stage.bids == []


async def test_a_server_stands_by_from_anothers_grant_until_it_bids_itself(stage: Stage) -> None:
    async with contextlib.AsyncExitStack() as stack:
        await stage.serve(stack)
        await stage.ask()
        assert stage.standing_by == [False]  # Its own grant.
        stage.grant("SRV_kin_gone")
        await asyncio.sleep(0.001)
        assert stage.standing_by == [False, True]
        await stage.ask()
        assert stage.standing_by == [False, True, False, False]  # A late bid, and its grant.


async def test_a_server_does_not_stand_by_while_it_runs_a_request(stage: Stage) -> None:
    async with contextlib.AsyncExitStack() as stack:
        await stage.serve(stack)
        stage.may_end.clear()
        asking = asyncio.create_task(stage.ask())
        await asyncio.sleep(0.001)
        stage.grant("SRV_kin_other")
        await asyncio.sleep(0.001)
        stage.may_end.set()
        await asking
        stage.grant("SRV_kin_other")
        await asyncio.sleep(0.001)
        assert stage.standing_by == [False, False, True]


async def test_no_more_is_kept_than_its_bound() -> None:
    bid: list[bytes] = []
    later = LaterBids("SRV_kin_b", lambda: None, bid.append)
    later.granted(Grant("REQ_before", "SRV_kin_a"), of_family=True)
    two = [encode(Request(f"REQ_{n}", "CLI_1", 1, 2, bytes(MAX_LEFT_BYTES // 2))) for n in "ab"]
    assert [later.leave(data) for data in two] == [True, False]
    later.granted(Grant("REQ_a", "SRV_kin_a"), of_family=True)
    assert [later.leave(data) for data in two[::-1]] == [True, False]
    await asyncio.sleep(2 * LATER_SECONDS)
    assert bid == [two[1]]
    assert later.leave(two[0])


async def test_a_grant_that_was_not_read_in_time_is_read_before_the_bid() -> None:
    bid: list[bytes] = []
    grant = Grant("REQ_a", "SRV_kin_a")

    def read_on() -> None:
        asyncio.get_running_loop().call_soon(lambda: later.granted(grant, of_family=True))

    later = LaterBids("SRV_kin_b", read_on, bid.append)
    later.granted(Grant("REQ_before", "SRV_kin_a"), of_family=True)
    assert later.leave(encode(Request("REQ_a", "CLI_1", 1, 2, b"")))
    await asyncio.sleep(2 * LATER_SECONDS)
    assert (bid, later.stands_by) == ([], True)


async def test_in_a_rush_all_bid_at_once_and_stand_by_again_after_it() -> None:
    later = LaterBids("SRV_kin_b", lambda: None, lambda data: None)

    async def left(each_second: float) -> tuple[list[bool], bool]:
        """Of as many requests as make a rush, each granted another server: whether each was left,
        and whether this one stands by after them."""
        found = []
        for n in range(RUSH):
            found.append(later.leave(encode(Request(f"REQ_{n}", "CLI_1", 1, 2, b""))))
            later.granted(Grant(f"REQ_{n}", "SRV_kin_a"), of_family=True)
            await asyncio.sleep(1 / each_second)
        return found, later.stands_by

    later.granted(Grant("REQ_before", "SRV_kin_a"), of_family=True)
    a_second = RUSH / RUSH_SECONDS
    calm = ([True] * RUSH, True)
    assert await left(0.8 * a_second) == calm
    await asyncio.sleep(RUSH_SECONDS)
    assert await left(2 * a_second) == ([True] * (RUSH - 1) + [False], False)
    assert await left(2 * a_second) == ([False] * RUSH, False)
    await asyncio.sleep(2 * RUSH_SECONDS)
    assert await left(0.8 * a_second) == calm


async def test_a_rush_is_one_whoever_is_granted_the_requests() -> None:
    later = LaterBids("SRV_kin_b", lambda: None, lambda data: None)
    for n in range(RUSH):
        later.granted(Grant("REQ_before", f"SRV_kin_{'ab'[n % 2]}"), of_family=True)
        later.leave(encode(Request(f"REQ_{n}", "CLI_1", 1, 2, b"")))
    later.granted(Grant("REQ_before", "SRV_kin_a"), of_family=True)
    assert not later.leave(encode(Request("REQ_next", "CLI_1", 1, 2, b"")))


async def test_what_is_no_request_as_peers_write_it_is_looked_at_at_once() -> None:
    later = LaterBids("SRV_kin_b", lambda: None, lambda data: None)
    later.granted(Grant("REQ_before", "SRV_kin_a"), of_family=True)
    assert not later.leave(b"noise")

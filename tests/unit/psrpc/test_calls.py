"""Client and server together, on a bus in memory and virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from mediafleet_scheduler.core.psrpc.selection import UPSTREAM_START_EGRESS, Selection
from mediafleet_scheduler.psrpc import channels
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.envelope import Grant, Request, encode
from mediafleet_scheduler.psrpc.errors import (
    BadMessage,
    BadMessageError,
    Code,
    NoAnswerError,
    NoBidError,
    PsrpcError,
)
from mediafleet_scheduler.psrpc.server import Affinity, Handler, Server
from mediafleet_testbed.buses import Faults, FaultyBus, MemoryBus

SERVICE, METHOD = "EgressInternal", "StartEgress"


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def client(bus: MemoryBus) -> AsyncIterator[Client]:
    async with Client(bus, SERVICE) as running:
        yield running


def answering(text: str) -> Handler:
    async def handle(request: Request) -> bytes:
        return text.encode() + b" " + request.payload

    return handle


def bidding(affinity: float | None) -> Affinity:
    return lambda _: affinity


@contextlib.asynccontextmanager
async def serving(
    bus: MemoryBus, handler: Handler, affinity: float | None = 1.0, topic: tuple[str, ...] = ()
) -> AsyncIterator[Server]:
    async with Server(bus, SERVICE) as server:
        await server.register(METHOD, handler, topic, bidding(affinity))
        yield server


async def test_a_request_is_answered_by_the_server_on_its_topic(
    bus: MemoryBus, client: Client
) -> None:
    async with (
        serving(bus, answering("a"), topic=("pod-a",)) as a,
        serving(bus, answering("b"), topic=("pod-b",)),
    ):
        answer = await client.request(METHOD, b"x", ("pod-a",), timeout_seconds=5)
        assert answer.payload == b"a x"
        assert answer.server_id == a.server_id


async def test_an_error_comes_back_with_its_code_and_sentence(
    bus: MemoryBus, client: Client
) -> None:
    async def refuse(_: Request) -> bytes:
        raise PsrpcError(Code.UNAVAILABLE, "not enough CPU")

    async with serving(bus, refuse):
        answer = await client.request(METHOD, b"", timeout_seconds=5)
    assert answer.error is not None
    assert (answer.error.code, answer.error.message) == (Code.UNAVAILABLE, "not enough CPU")


async def test_a_handler_that_breaks_is_answered_as_internal(
    bus: MemoryBus, client: Client
) -> None:
    async def broken(_: Request) -> bytes:
        raise KeyError("secret")

    async with serving(bus, broken):
        answer = await client.request(METHOD, b"", timeout_seconds=5)
    assert answer.error is not None
    assert answer.error.code is Code.INTERNAL
    assert "secret" not in answer.error.message


@pytest.mark.looptime
async def test_without_a_bid_nothing_runs_and_the_wait_is_bounded(client: Client) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    selection = Selection(accept_first=True, affinity_timeout_seconds=0.2)
    with pytest.raises(NoBidError):
        await client.request(METHOD, b"", timeout_seconds=20, selection=selection)
    assert loop.time() - began == pytest.approx(0.2)


@pytest.mark.looptime
async def test_a_server_that_will_not_take_it_says_nothing(bus: MemoryBus, client: Client) -> None:
    async with serving(bus, answering("a"), affinity=None):
        with pytest.raises(NoBidError):
            await client.request(METHOD, b"", timeout_seconds=5)


@pytest.mark.looptime
async def test_silence_after_the_grant_tells_who_was_granted(
    bus: MemoryBus, client: Client
) -> None:
    async def silent(_: Request) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with serving(bus, silent) as server:
        with pytest.raises(NoAnswerError) as caught:
            await client.request(METHOD, b"", timeout_seconds=20)
    assert caught.value.server_id == server.server_id


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("bids", "wanted", "seconds"),
    [
        ([0.5, 1.0, 0.7], 1, 0.0),
        ([0.5, 0.9, 0.7], 1, 0.5),
        ([0.5], 0, 0.5),
    ],
    ids=["the highest possible at once", "else the best after 500 ms", "also when it is alone"],
)
async def test_upstreams_auction(
    bus: MemoryBus, client: Client, bids: list[float], wanted: int, seconds: float
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for number, affinity in enumerate(bids):
            handler = answering(str(number))
            await stack.enter_async_context(serving(bus, handler, affinity))
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await client.request(
            METHOD, b"", timeout_seconds=10, selection=UPSTREAM_START_EGRESS
        )
        assert answer.payload == f"{wanted} ".encode()
        assert loop.time() - began == pytest.approx(seconds, abs=0.01)


async def test_one_server_runs_it_however_many_bid(bus: MemoryBus, client: Client) -> None:
    ran: list[int] = []

    def noting(number: int) -> Handler:
        async def handle(_: Request) -> bytes:
            ran.append(number)
            return b""

        return handle

    async with contextlib.AsyncExitStack() as stack:
        for number in range(5):
            await stack.enter_async_context(serving(bus, noting(number)))
        for _ in range(20):
            await client.request(METHOD, b"", timeout_seconds=5)
    assert len(ran) == 20


async def test_requests_are_served_beside_each_other(bus: MemoryBus, client: Client) -> None:
    together = asyncio.Barrier(10)

    async def meet(_: Request) -> bytes:
        await together.wait()
        return b"met"

    async with serving(bus, meet):
        calls = (client.request(METHOD, b"", timeout_seconds=5) for _ in range(10))
        answers = await asyncio.gather(*calls)
    assert {answer.payload for answer in answers} == {b"met"}


@pytest.mark.looptime
async def test_a_server_that_is_full_runs_no_multi_request_either(
    bus: MemoryBus, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediafleet_scheduler.psrpc.server.MAX_RUNNING", 0)
    async with serving(bus, answering("a")):
        assert await client.request_all(METHOD, b"x", timeout_seconds=1) == []


@pytest.mark.looptime
async def test_all_servers_answer_a_multi_request(bus: MemoryBus, client: Client) -> None:
    async with (
        serving(bus, answering("a"), affinity=None),
        serving(bus, answering("b"), affinity=None),
    ):
        loop = asyncio.get_running_loop()
        began = loop.time()
        answers = await client.request_all(METHOD, b"x", timeout_seconds=3)
        assert {answer.payload for answer in answers} == {b"a x", b"b x"}
        assert loop.time() - began == pytest.approx(3)
        await client.request_all(METHOD, b"x", timeout_seconds=3, expected=2)
        assert loop.time() - began == pytest.approx(3)


def raw(expires_in_seconds: float) -> Request:
    now = time.time_ns()
    return Request("REQ_1", "CLI_1", now, now + int(expires_in_seconds * 1e9), b"")


class Listener:
    """Counts what is published on a channel."""

    def __init__(self) -> None:
        self.heard = 0

    def __call__(self, _: bytes) -> None:
        self.heard += 1


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("expires_in", "bids"), [(5.0, 1), (-0.001, 0)])
async def test_an_expired_request_is_dropped(bus: MemoryBus, expires_in: float, bids: int) -> None:
    listener = Listener()
    await bus.subscribe(channels.bids(SERVICE, "CLI_1"), listener)
    async with serving(bus, answering("a")):
        bus.publish(channels.request(SERVICE, METHOD), encode(raw(expires_in)))
        await settled()
    assert listener.heard == bids


async def test_a_grant_counts_once_and_only_for_its_server(bus: MemoryBus) -> None:
    listener = Listener()
    await bus.subscribe(channels.answers(SERVICE, "CLI_1"), listener)
    async with serving(bus, answering("a")) as server:
        grants = channels.grant(SERVICE, METHOD)
        bus.publish(grants, encode(Grant("REQ_1", server.server_id)))
        bus.publish(channels.request(SERVICE, METHOD), encode(raw(5)))
        await settled()
        assert listener.heard == 0, "a grant before the bid is none"
        bus.publish(grants, encode(Grant("REQ_1", server.server_id)))
        bus.publish(grants, encode(Grant("REQ_1", server.server_id)))
        await settled()
        assert listener.heard == 1
        bus.publish(channels.request(SERVICE, METHOD), encode(raw(5)))
        bus.publish(grants, encode(Grant("REQ_1", "SRV_other")))
        bus.publish(grants, encode(Grant("REQ_1", server.server_id)))
        await settled()
        assert listener.heard == 1, "it was given to another server"


async def test_a_closed_method_takes_nothing_more_and_finishes_what_runs(
    bus: MemoryBus, client: Client
) -> None:
    go_on, entered = asyncio.Event(), asyncio.Event()

    async def slow(_: Request) -> bytes:
        entered.set()
        await go_on.wait()
        return b"done"

    async with Server(bus, SERVICE) as server:
        method = await server.register(METHOD, slow)
        call = asyncio.create_task(client.request(METHOD, b"", timeout_seconds=5))
        await entered.wait()
        await method.close()
        selection = Selection(accept_first=True, affinity_timeout_seconds=0.01)
        with pytest.raises(NoBidError):
            await client.request(METHOD, b"", timeout_seconds=5, selection=selection)
        go_on.set()
        await server.drain()
        assert (await call).payload == b"done"


async def test_garbage_is_counted_by_reason_and_harms_nobody(bus: MemoryBus) -> None:
    reasons: list[BadMessage] = []

    def note(_: str, error: BadMessageError) -> None:
        reasons.append(error.reason)

    def picky(request: Request) -> float | None:
        if request.payload == b"nonsense":
            raise BadMessageError(BadMessage.NOT_A_START_EGRESS)
        return 1.0

    async with (
        Server(bus, SERVICE, on_bad_message=note) as server,
        Client(bus, SERVICE, on_bad_message=note) as client,
    ):
        await server.register(METHOD, answering("a"), affinity=picky)
        for channel in (
            channels.request(SERVICE, METHOD),
            channels.grant(SERVICE, METHOD),
            channels.bids(SERVICE, client.client_id),
            channels.answers(SERVICE, client.client_id),
        ):
            bus.publish(channel, b"\xff\xff")
        await settled()
        assert reasons == [BadMessage.NOT_PROTOBUF] * 4
        nonsense = Selection(accept_first=True, affinity_timeout_seconds=0.01)
        with pytest.raises(NoBidError):
            await client.request(METHOD, b"nonsense", timeout_seconds=5, selection=nonsense)
        assert reasons[4:] == [BadMessage.NOT_A_START_EGRESS]
        assert (await client.request(METHOD, b"", timeout_seconds=5)).payload == b"a "


@pytest.mark.looptime
@pytest.mark.parametrize("seed", range(5))
async def test_on_a_faulty_bus_a_request_runs_at_most_once_and_an_answer_is_its_own(
    seed: int,
) -> None:
    inner = MemoryBus()
    faults = Faults(lose=0.05, duplicate=0.2, delay=0.3, max_delay_seconds=0.005)
    ran: dict[bytes, int] = {}

    async def handle(request: Request) -> bytes:
        ran[request.payload] = ran.get(request.payload, 0) + 1
        return request.payload

    bus = FaultyBus(inner, faults, seed)
    selection = Selection(accept_first=True, affinity_timeout_seconds=0.05)
    async with Server(bus, SERVICE) as server, Client(bus, SERVICE) as client:
        await server.register(METHOD, handle)

        async def call(payload: bytes) -> None:
            with contextlib.suppress(NoBidError, NoAnswerError):
                answer = await client.request(
                    METHOD, payload, timeout_seconds=5, selection=selection
                )
                assert answer.payload == payload

        await asyncio.gather(*(call(str(number).encode()) for number in range(50)))
    assert len(ran) > 30
    assert set(ran.values()) == {1}

"""Every bus does the same: the fakes that tests run on are held to the real one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redis.asyncio as redis
import trustme

from mediafleet_common.clock import Clock
from mediafleet_scheduler.psrpc import link
from mediafleet_scheduler.psrpc.bus import Bus, Trouble
from mediafleet_scheduler.psrpc.link import OnReply
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_scheduler.psrpc.resp import Reply
from mediafleet_scheduler.psrpc.times import BusTimes
from mediafleet_testbed.buses import Faults, FaultyBus, MemoryBus
from mediafleet_testbed.real_servers import RedisServer, redis_server
from mediafleet_testbed.tls_front import tls_before

WAIT_SECONDS = 30.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(params=["memory", "faultless", "redis", "redis with push messages"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    if request.param.startswith("redis"):
        url = request.getfixturevalue("server").url
        client = redis.Redis.from_url(url, protocol=2 if request.param == "redis" else 3)
        async with RedisBus(client) as over_redis:
            yield over_redis
        await client.aclose()
    elif request.param == "memory":
        yield MemoryBus()
    else:
        yield FaultyBus(MemoryBus(), Faults(), seed=1)


class Inbox:
    """What one receiver heard."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self._more = asyncio.Event()

    def __call__(self, data: bytes) -> None:
        self.messages.append(data)
        self._more.set()

    async def until(self, count: int) -> list[bytes]:
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.messages) < count:
                self._more.clear()
                await self._more.wait()
        return self.messages


async def test_a_message_reaches_every_receiver_of_its_channel_and_no_other(bus: Bus) -> None:
    one, two, other = Inbox(), Inbox(), Inbox()
    await bus.subscribe("a|b|REQ", one)
    await bus.subscribe("a|b|REQ", two)
    await bus.subscribe("a|c|REQ", other)
    bus.publish("a|b|REQ", b"hello")
    bus.publish("a|c|REQ", b"there")
    assert await one.until(1) == [b"hello"]
    assert await two.until(1) == [b"hello"]
    assert await other.until(1) == [b"there"]


async def test_messages_of_one_publisher_keep_their_order(bus: Bus) -> None:
    inbox = Inbox()
    await bus.subscribe("c", inbox)
    sent = [str(number).encode() for number in range(1000)]
    for message in sent:
        bus.publish("c", message)
    assert await inbox.until(len(sent)) == sent


async def test_bytes_travel_unchanged(bus: Bus) -> None:
    inbox = Inbox()
    await bus.subscribe("c", inbox)
    sent = [b"", bytes(range(256)), b"\r\n$5\r\n", b"x" * 300_000]
    for message in sent:
        bus.publish("c", message)
    assert await inbox.until(len(sent)) == sent


async def test_what_was_published_before_subscribing_is_not_heard(bus: Bus) -> None:
    first, late = Inbox(), Inbox()
    await bus.subscribe("c", first)
    bus.publish("c", b"early")
    await first.until(1)
    await bus.subscribe("c", late)
    bus.publish("c", b"now")
    assert await late.until(1) == [b"now"]


async def test_a_closed_subscription_hears_nothing_and_others_go_on(bus: Bus) -> None:
    gone, staying = Inbox(), Inbox()
    subscription = await bus.subscribe("c", gone)
    await bus.subscribe("c", staying)
    await subscription.close()
    await subscription.close()
    bus.publish("c", b"now")
    assert await staying.until(1) == [b"now"]
    assert gone.messages == []


async def test_a_channel_can_be_subscribed_to_again(bus: Bus) -> None:
    for turn in range(3):
        inbox = Inbox()
        subscription = await bus.subscribe("c", inbox)
        bus.publish("c", str(turn).encode())
        assert await inbox.until(1) == [str(turn).encode()]
        await subscription.close()


async def test_a_receiver_that_fails_harms_no_other(bus: Bus) -> None:
    inbox = Inbox()

    def broken(_: bytes) -> None:
        raise RuntimeError("boom")

    await bus.subscribe("c", broken)
    await bus.subscribe("c", inbox)
    bus.publish("c", b"one")
    bus.publish("c", b"two")
    assert await inbox.until(2) == [b"one", b"two"]


async def test_a_lost_connection_comes_back_with_its_subscriptions(server: RedisServer) -> None:
    troubles: list[Trouble] = []
    client = redis.Redis.from_url(server.url, protocol=2)
    async with RedisBus(client, troubles.append) as bus:
        inbox = Inbox()
        await bus.subscribe("c", inbox)
        await client.client_kill_filter(_type="pubsub")
        async with asyncio.timeout(WAIT_SECONDS):
            while not inbox.messages:
                bus.publish("c", b"again")
                await asyncio.sleep(0.01)
        assert Trouble.CONNECTION_LOST in troubles
    await client.aclose()


async def test_a_restart_of_redis_is_survived_and_messages_wait_for_it() -> None:
    with redis_server() as first:
        port = first.port
        client = redis.Redis.from_url(first.url, protocol=2)
        bus = RedisBus(client)
        await bus.__aenter__()
        inbox = Inbox()
        await bus.subscribe("c", inbox)
    bus.publish("c", b"while it was away")
    with redis_server(port):
        async with asyncio.timeout(WAIT_SECONDS):
            while not inbox.messages:
                bus.publish("c", b"after")
                await asyncio.sleep(0.01)
        await bus.__aexit__(None, None, None)
    await client.aclose()


async def test_what_redis_refuses_is_counted() -> None:
    troubles: list[Trouble] = []
    with redis_server() as server:
        admin = redis.Redis.from_url(server.url)
        await admin.acl_setuser(
            "u", enabled=True, passwords=["+p"], commands=["+@all"], channels=["mine"]
        )
        client = redis.Redis.from_url(server.url, username="u", password="p")
        async with RedisBus(client, troubles.append) as bus, asyncio.timeout(WAIT_SECONDS):
            bus.publish("yours", b"x")
            inbox = Inbox()
            await bus.subscribe("mine", inbox)
            bus.publish("mine", b"x")
            await inbox.until(1)
        assert troubles == [Trouble.REFUSED]
        await client.aclose()
        await admin.aclose()


async def test_a_connection_is_given_up_after_the_silence_of_the_settings(
    server: RedisServer,
) -> None:
    lost = asyncio.Event()

    def notice(trouble: Trouble) -> None:
        if trouble is Trouble.CONNECTION_LOST:
            lost.set()

    seconds = [0.0]
    client = redis.Redis.from_url(server.url, protocol=2)
    clock = Clock(monotonic=lambda: seconds[0])
    times = BusTimes(ping_after_seconds=1.0, silence_seconds=4.0)
    async with RedisBus(client, notice, clock, times) as bus:
        inbox = Inbox()
        await bus.subscribe("c", inbox)
        assert not lost.is_set()
        seconds[0] = 5.0
        async with asyncio.timeout(WAIT_SECONDS):
            await lost.wait()
    await client.aclose()


async def test_a_bus_that_is_held_reads_nothing_and_is_not_taken_for_lost(
    server: RedisServer,
) -> None:
    troubles: list[Trouble] = []
    seconds, looks = [0.0], asyncio.Semaphore(0)
    holds: list[Callable[[bool], None]] = []

    def now() -> float:
        looks.release()
        return seconds[0]

    def pace(handle: OnReply, hold: Callable[[bool], None]) -> OnReply:
        holds.append(hold)

        def take(reply: Reply) -> None:
            handle(reply)
            if reply == [b"message", b"c", b"the last"]:
                hold(True)

        return take

    client = redis.Redis.from_url(server.url, protocol=2)
    times = BusTimes(ping_after_seconds=1.0, silence_seconds=4.0)
    async with RedisBus(client, troubles.append, Clock(monotonic=now), times, pace) as bus:
        inbox = Inbox()
        await bus.subscribe("c", inbox)
        (hold,) = holds
        # So many at once that the connection rests by itself, too.
        async with client.pipeline(transaction=False) as pipe:
            for _ in range(50):
                pipe.publish("c", b"more")
            pipe.publish("c", b"the last")
            await pipe.execute()
        assert len(await inbox.until(51)) == 51
        await client.publish("c", b"waits")
        while not looks.locked():
            await looks.acquire()
        seconds[0] = 5.0
        async with asyncio.timeout(WAIT_SECONDS):
            for _ in range(2):
                await looks.acquire()
        assert (inbox.messages[51:], troubles) == ([], [])
        hold(False)
        assert (await inbox.until(52))[51:] == [b"waits"]
    await client.aclose()


async def test_a_bus_that_hears_late_looks_seldom(server: RedisServer) -> None:
    looks: list[float] = []
    turn: list[Reply] = []
    loop = asyncio.get_running_loop()

    def pace(handle: OnReply, hold: Callable[[bool], None]) -> OnReply:
        del hold

        def take(reply: Reply) -> None:
            if not turn:
                looks.append(loop.time())
                loop.call_soon(turn.clear)
            turn.append(reply)
            handle(reply)

        return take

    client = redis.Redis.from_url(server.url, protocol=2)
    async with RedisBus(client, pace=pace, hears_late=True) as bus:
        inbox = Inbox()
        await bus.subscribe("c", inbox)
        sent = [str(number).encode() for number in range(10)]
        for message in sent:
            await client.publish("c", message)
        assert await inbox.until(len(sent)) == sent
    assert 1 < len(looks) <= 2 + (looks[-1] - looks[0]) / 0.02
    await client.aclose()


async def test_a_bus_that_is_to_hear_late_no_more_reads_what_waits(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_UNAWAITED_SECONDS", 3600.0)
    client = redis.Redis.from_url(server.url, protocol=2)
    async with RedisBus(client) as bus, RedisBus(client) as witness:
        inbox, prompt = Inbox(), Inbox()
        await bus.subscribe("c", inbox)
        await witness.subscribe("c", prompt)
        bus.hear_late(True)
        for number, message in enumerate((b"first", b"waits"), start=1):
            await client.publish("c", message)
            await prompt.until(number)
            await inbox.until(1)
        assert inbox.messages == [b"first"]
        bus.hear_late(False)
        assert await inbox.until(2) == [b"first", b"waits"]
        await client.publish("c", b"at once")
        assert await inbox.until(3) == [b"first", b"waits", b"at once"]
    await client.aclose()


async def test_a_bus_over_tls(server: RedisServer, tmp_path: Path) -> None:
    authority, root = trustme.CA(), tmp_path / "root.pem"
    authority.cert_pem.write_to_path(str(root))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with tls_before(server.port, context) as port:
        client = redis.Redis.from_url(f"rediss://127.0.0.1:{port}?ssl_ca_certs={root}")
        async with RedisBus(client) as bus:
            inbox = Inbox()
            await bus.subscribe("c", inbox)
            sent = [b"x" * 100_000 for _ in range(20)]
            for message in sent:
                bus.publish("c", message)
            assert await inbox.until(len(sent)) == sent
        await client.aclose()


async def test_a_faulty_bus_repeats_its_faults_by_seed() -> None:
    def heard(seed: int) -> list[bytes]:
        sent: list[bytes] = []

        class Recorder(MemoryBus):
            def publish(self, channel: str, data: bytes) -> None:
                sent.append(data)

        faulty = FaultyBus(Recorder(), Faults(lose=0.3, duplicate=0.3), seed)
        for number in range(200):
            faulty.publish("c", str(number).encode())
        return sent

    assert heard(7) == heard(7)
    assert heard(7) != heard(8)
    assert 100 < len(set(heard(7))) < 180
    assert len(heard(7)) > len(set(heard(7)))

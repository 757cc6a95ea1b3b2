"""Tenants of one desk: a flood of one waits in its Redis, and the other's messages do not wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from tests.kit.clock import loop_clock

from mediafleet_scheduler.core.psrpc import turns as rules
from mediafleet_scheduler.core.psrpc.turns import TurnTimes
from mediafleet_scheduler.egress.connections.turns import Inbox, Tenant, Turns, measured_task
from mediafleet_scheduler.psrpc.resp import Reply

pytestmark = pytest.mark.looptime
TIMES = TurnTimes(part=0.5, turn_seconds=0.001, allowance_seconds=0.02)
COST = 0.0005
"""Seconds that the handling of a message takes here."""


@dataclass
class Desk:
    """Messages of tenants, handled at a cost."""

    names: tuple[str, ...]
    times: TurnTimes = TIMES
    worked: float = 0.0
    handled: list[tuple[str, Reply]] = field(default_factory=list)
    held: list[tuple[str, bool]] = field(default_factory=list)
    rests: dict[str, float] = field(default_factory=dict)
    inboxes: dict[str, Inbox] = field(default_factory=dict)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    begun: Callable[[str], Awaitable[None]] | None = None
    """What handling a message begins."""
    tasks: list[asyncio.Future[None]] = field(default_factory=list)

    def __enter__(self) -> Desk:
        self._stack = ExitStack()
        self.turns = Turns(self.times, self._rest, loop_clock(), lambda: self.worked)
        for name in self.names:
            tenant = self.tenants[name] = self._stack.enter_context(self.turns.tenant(name))
            self.inboxes[name] = Inbox(tenant, self._handler(name), self._holder(name))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _rest(self, name: str, seconds: float) -> None:
        self.rests[name] = self.rests.get(name, 0.0) + seconds

    def _handler(self, name: str) -> Callable[[Reply], None]:
        def handle(reply: Reply) -> None:
            self.worked += COST
            self.handled.append((name, reply))
            if self.begun is not None:
                self.tasks.append(asyncio.ensure_future(self.begun(name)))

        return handle

    def _holder(self, name: str) -> Callable[[bool], None]:
        return lambda held: self.held.append((name, held))

    def count(self, name: str) -> int:
        return sum(each == name for each, _ in self.handled)


def desk(*names: str) -> Desk:
    return Desk(names)


async def test_alone_a_tenant_uses_the_whole_desk_and_nothing_waits() -> None:
    with desk("a") as one:
        for number in range(1000):
            one.inboxes["a"].put(number)
        assert one.handled == [("a", number) for number in range(1000)]
        assert one.held == []


async def test_a_flood_is_handled_in_order_and_a_millisecond_a_turn() -> None:
    with desk("a", "b") as both:
        for number in range(10):
            both.inboxes["a"].put(number)
        assert both.count("a") == 2
        await asyncio.sleep(1)
        assert both.handled == [("a", number) for number in range(10)]
        assert both.rests == {}


async def test_the_other_tenant_is_served_at_once_beside_a_flood() -> None:
    with desk("a", "b") as both:
        for number in range(5000):
            both.inboxes["a"].put(number)
        await asyncio.sleep(0.5)
        before = both.count("a")
        assert before < 5000
        both.inboxes["b"].put(b"mine")
        assert both.handled[-1] == ("b", b"mine")


async def test_a_flood_gets_its_part_of_the_time_and_no_more() -> None:
    with desk("a", "b") as both:
        for number in range(5000):
            both.inboxes["a"].put(number)
        await asyncio.sleep(1)
        assert both.count("a") * COST == pytest.approx(0.5 + 0.02, rel=0.02)
        assert both.rests["a"] == pytest.approx(1, rel=0.05)


async def test_two_floods_share_one_part() -> None:
    with desk("a", "b", "c") as all_three:
        for number in range(2000):
            for name in ("a", "b"):
                all_three.inboxes[name].put(number)
        await asyncio.sleep(1)
        counts = [all_three.count(name) * COST for name in ("a", "b")]
        assert sum(counts) == pytest.approx(0.5 + 0.04, rel=0.05)
        assert counts[0] == pytest.approx(counts[1], rel=0.05)


async def test_two_connections_of_one_tenant_have_one_allowance() -> None:
    with desk("a", "b") as both, both.turns.tenant("a") as again:
        assert again is both.tenants["a"]
        second = Inbox(again, lambda _: both._handler("a")(0), lambda _: None)
        for number in range(2000):
            both.inboxes["a"].put(number)
            second.put(number)
        await asyncio.sleep(1)
        assert both.count("a") * COST == pytest.approx(0.5 + 0.02, rel=0.05)


async def test_a_connection_is_not_read_while_its_messages_wait() -> None:
    with desk("a", "b") as both:
        for number in range(1000):
            both.inboxes["a"].put(number)
        assert both.held == [("a", True)]
        await asyncio.sleep(10)
        assert both.count("a") == 1000
        assert both.held == [("a", True), ("a", False)]


async def test_a_connection_is_not_read_while_few_large_messages_wait() -> None:
    with desk("a", "b") as both:
        large = [b"message", b"channel", b"x" * (1 << 20)]
        both.tenants["a"].spend((-1.0, 0.0))
        for _ in range(3):
            both.inboxes["a"].put(list(large))
        assert both.held == []
        both.inboxes["a"].put(list(large))
        assert both.held == [("a", True)]
        await asyncio.sleep(10)
        assert both.count("a") == 4
        assert both.held == [("a", True), ("a", False)]


@pytest.mark.parametrize("share", [1.0, 0.25])
async def test_a_flood_gets_its_part_of_what_a_slow_loop_can_do(share: float) -> None:
    with desk("a", "b") as both:
        # The machine gives the loop a share of the time that passes while it works.
        both.turns.note_speed(share, 1.0)
        for number in range(5000):
            both.inboxes["a"].put(number)
        await asyncio.sleep(1)
        assert both.count("a") * COST == pytest.approx(0.5 * share + 0.02, rel=0.05)


def test_the_speed_of_the_loop_follows_what_it_is_given() -> None:
    speed = 1.0
    for _ in range(200):
        speed = rules.speed(speed, 0.001, 0.004)
    assert speed == pytest.approx(0.25, abs=0.05)
    assert rules.speed(0.25, 1.0, 1.0) == 1
    assert rules.speed(0.25, 0.0, 0.0) == 0.25
    assert rules.speed(1.0, 0.003, 0.002) == 1
    assert rules.rate(TIMES, 2, 0.25) == 0.5 * 0.25 / 2
    assert rules.rate(TIMES, 1, 0.0) > 0


@pytest.fixture
async def measured() -> AsyncIterator[None]:
    """Tasks are begun as in the desk."""
    asyncio.get_running_loop().set_task_factory(measured_task)
    yield
    asyncio.get_running_loop().set_task_factory(None)


@pytest.mark.usefixtures("measured")
async def test_what_a_message_begins_is_paid_for_by_its_tenant() -> None:
    with desk("a", "b") as both:

        async def inner() -> None:
            both.worked += 0.004

        async def work(_: str) -> None:
            both.worked += 0.0055
            await asyncio.gather(inner())

        both.begun = work
        for number in range(200):
            both.inboxes["a"].put(number)
        await asyncio.sleep(2)
        # Ten milliseconds each, of which the message itself is half of one.
        assert both.count("a") * 0.01 == pytest.approx(2 * 0.5, rel=0.1)
        await asyncio.sleep(10)
        assert both.count("a") == 200


@pytest.mark.usefixtures("measured")
async def test_errors_and_cancellation_come_through_what_is_measured() -> None:
    with desk("a", "b") as both:

        async def fails() -> None:
            await asyncio.sleep(0)
            raise LookupError

        with both.tenants["a"].work():
            task = asyncio.ensure_future(fails())
            waits = asyncio.ensure_future(asyncio.sleep(100))
        with pytest.raises(LookupError):
            await task
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits


async def test_a_tenant_that_left_counts_no_more() -> None:
    with desk("a") as one:
        with one.turns.tenant("b"):
            assert one.turns.are_taken
        assert not one.turns.are_taken


async def test_with_a_part_of_one_nobody_waits() -> None:
    with Desk(("a", "b"), TurnTimes(part=1.0)) as both:
        for number in range(1000):
            both.inboxes["a"].put(number)
        assert both.count("a") == 1000

"""Two buses on one server hear each other, and no others do."""

from __future__ import annotations

from contextlib import AsyncExitStack

from mediafleet_scheduler.egress.connections.echo import Echo
from mediafleet_testbed.buses import MemoryBus

PATIENT = 60.0


async def test_buses_on_one_server_hear_each_other_and_no_others_do() -> None:
    one, other = MemoryBus(), MemoryBus()
    echo: Echo[str] = Echo(PATIENT, 0.0)
    async with AsyncExitStack() as stack:
        for name, bus in (("a", one), ("b", one), ("c", other)):
            await stack.enter_async_context(echo.listening(name, bus))
        assert [await echo.same(name) for name in "abc"] == [{"b"}, {"a"}, set()]
    async with echo.listening("c", other), echo.listening("b", one):
        assert await echo.same("b") == set(), "who listens no more is not there"


async def test_another_desk_is_not_taken_for_one_of_this() -> None:
    bus, here, there = MemoryBus(), Echo[str](PATIENT, 0.0), Echo[str](PATIENT, 0.0)
    async with (
        here.listening("a", bus),
        here.listening("b", MemoryBus()),
        there.listening("c", bus),
        there.listening("d", bus),
    ):
        assert await here.same("a") == set()


async def test_a_bus_that_does_not_hear_itself_is_nobodys() -> None:
    class Deaf(MemoryBus):
        def publish(self, channel: str, data: bytes) -> None:
            del channel, data

    echo: Echo[str] = Echo(0.01, 0.0)
    async with echo.listening("a", Deaf()), echo.listening("b", MemoryBus()):
        assert await echo.same("a") == set()

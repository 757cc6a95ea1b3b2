"""Our worker at several brokers: one capacity for all, and brokers that come and go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import BodyPartReader, web
from tests.kit.egress.scene import eventually
from tests.kit.workers.scene import SECRET, Broker, broker

from mediafleet_common.serving.tls import self_signed
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.views import Target
from mediafleet_scheduler.worker.brokers import Brokers, Place
from mediafleet_scheduler.worker.client import Settings, Worker
from mediafleet_scheduler.worker.runners import Runner
from mediafleet_scheduler.worker.times import Times

PAIR: Final = self_signed(["127.0.0.1"])
"""Brokers of one chart have one certificate."""
UPSCALE: Final = (Pipeline.UPSCALE, "m/up")


class Upscaler:
    """A runner that answers when it is let go, and notes how many tasks it had at a time."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.begun = asyncio.Semaphore(0)
        self.at_a_time: list[int] = []
        self.lengths: list[int] = []
        self._now = 0

    async def run(self, request: web.Request) -> web.Response:
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.name == "image":
                self.lengths.append(len(await part.read()))
        self._now += 1
        self.at_a_time.append(self._now)
        self.begun.release()
        await self.go_on.wait()
        self._now -= 1
        return web.json_response({"images": [{"url": "data:image/png;base64,QUJD"}]})

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[Runner]:
        app = web.Application()
        app.add_routes([web.post("/upscale", self.run)])
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Runner(Target(*UPSCALE), f"http://127.0.0.1:{runner.addresses[0][1]}")
        await runner.cleanup()


@contextlib.asynccontextmanager
async def at(
    brokers: Brokers, ca: Path, runner: Runner, on_registered: Callable[[], None] = lambda: None
) -> AsyncIterator[Worker]:
    """Our worker, until it has ended."""
    settings = Settings(brokers, lambda: SECRET, (runner,), ca, times=Times(look_up_seconds=0.02))
    working, stop = Worker(settings, on_registered), asyncio.Event()
    running = asyncio.create_task(working.run(stop))
    yield working
    stop.set()
    await running


async def ask(of: Broker) -> int:
    form = aiohttp.FormData()
    form.add_field("image", b"x" * 5000, filename="image")
    form.add_field("model_id", UPSCALE[1])
    form.add_field("prompt", "larger")
    async with of.session.post(f"{of.runner}/upscale", data=form) as response:
        return response.status


def workers(of: Broker) -> int:
    return len(of.serving.jobs.dispatcher.workers)


async def test_two_brokers_share_one_capacity_and_no_task_is_refused(tmp_path: Path) -> None:
    upscaler, ca = Upscaler(), tmp_path / "ca.pem"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with (
        upscaler.served() as runner,
        broker(tmp_path / "a", UPSCALE, pair=PAIR) as a,
        broker(tmp_path / "b", UPSCALE, pair=PAIR) as b,
    ):
        ca.write_bytes(a.certificate)
        async with at(Brokers((a.authority, b.authority)), ca, runner):
            await eventually(lambda: workers(a) == workers(b) == 1)
            asking = [asyncio.create_task(ask(some)) for some in (a, b)]
            await upscaler.begun.acquire()
            # Both have a task of one worker that takes one: it says to one of them that it is full.
            upscaler.go_on.set()
            assert await asyncio.gather(*asking) == [200, 200]
    assert upscaler.at_a_time == [1, 1]


async def test_each_address_of_a_name_is_a_broker_with_the_certificate_of_the_one_that_is_named(
    tmp_path: Path,
) -> None:
    upscaler, ca = Upscaler(), tmp_path / "ca.pem"
    upscaler.go_on.set()
    async with (
        upscaler.served() as runner,
        broker(tmp_path, UPSCALE, listen="127.0.0.2:0") as some,
    ):
        # Its certificate is for 127.0.0.1.
        ca.write_bytes(some.certificate)
        async with at(Brokers((some.authority,), addresses="127.0.0.2"), ca, runner) as working:
            await eventually(lambda: working.registered)
            assert await ask(some) == 200
    assert upscaler.lengths == [5000]


class Changing(Brokers):
    """A name whose addresses change; `None`: it cannot be looked up."""

    def __init__(self, first: Place) -> None:
        super().__init__((first.address,), addresses="brokers")
        self.places: frozenset[Place] | None = frozenset()

    async def look(self) -> frozenset[Place] | None:
        return self.places


async def test_a_broker_that_comes_later_is_found_and_one_that_is_gone_is_not_called_again(
    tmp_path: Path,
) -> None:
    upscaler, ca = Upscaler(), tmp_path / "ca.pem"
    upscaler.go_on.set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with (
        upscaler.served() as runner,
        broker(tmp_path / "a", UPSCALE, pair=PAIR) as a,
        broker(tmp_path / "b", UPSCALE, pair=PAIR) as b,
    ):
        ca.write_bytes(a.certificate)
        first, second = (Place(each.authority, "127.0.0.1") for each in (a, b))
        brokers = Changing(first)
        async with at(brokers, ca, runner) as working:
            assert not working.registered
            brokers.places = frozenset({first})
            await eventually(lambda: workers(a) == 1)
            brokers.places = frozenset({first, second})
            await eventually(lambda: workers(b) == 1)
            # Unknown is not none, and a broker that left the name keeps what it has.
            brokers.places = None
            assert [await ask(each) for each in (a, b)] == [200, 200]
            brokers.places = frozenset({second})
            a.stop.set()
            await eventually(lambda: workers(a) == 0)
            assert await ask(b) == 200
            await eventually(lambda: working.standing == {second})


async def test_a_worker_is_ready_once_it_stands_at_all_of_its_brokers_and_not_before(
    tmp_path: Path,
) -> None:
    upscaler, ca, ready = Upscaler(), tmp_path / "ca.pem", asyncio.Event()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with (
        upscaler.served() as runner,
        broker(tmp_path / "a", UPSCALE, pair=PAIR) as a,
        broker(tmp_path / "b", UPSCALE, pair=PAIR) as b,
    ):
        ca.write_bytes(a.certificate)
        first, second = (Place(each.authority, "127.0.0.1") for each in (a, b))
        brokers = Changing(first)
        # Nobody can stand at the second: its certificate has another name.
        brokers.places = frozenset({first, Place(b.authority, "elsewhere.example.com")})
        async with at(brokers, ca, runner, ready.set) as working:
            await eventually(lambda: working.standing == {first})
            assert not ready.is_set()
            brokers.places = frozenset({first, second})
            await eventually(ready.is_set)
            assert working.standing == {first, second}

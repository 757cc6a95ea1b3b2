"""A worker on go-livepeer's own libraries (grpc-go, net/http) at the broker's one port."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from tests.kit.egress.scene import eventually
from tests.kit.workers.captures import FOLDER
from tests.kit.workers.scene import SECRET, broker

from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.stock import Presence
from mediafleet_scheduler.core.workers.views import Target
from mediafleet_scheduler.stock.desk import Options, StockDesk
from mediafleet_scheduler.worker.brokers import Brokers
from mediafleet_scheduler.worker.client import Settings, Worker
from mediafleet_scheduler.worker.runners import Runner
from mediafleet_testbed.tools.recipes import AI_WORKER
from mediafleet_testbed.tools.toolchain import ensure

IMAGE = (Pipeline.TEXT_TO_IMAGE, "m/sd")
AUDIO = (Pipeline.AUDIO_TO_TEXT, "m/sd")
PROMPT = {"model_id": "m/sd", "prompt": "Cool dog at a rave party"}


class GoWorker:
    """The process, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def says(self, event: str) -> dict[str, Any]:
        """The next line about this."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            told: dict[str, Any] = json.loads(line)
            if told["event"] == event:
                return told
        raise AssertionError(f"it ended without {event!r}")


@contextlib.asynccontextmanager
async def go_worker(at: str, *more: str, secret: str = SECRET) -> AsyncIterator[GoWorker]:
    """A worker that registers as the captured one did, at HOST:PORT."""
    program = ensure(AI_WORKER)[AI_WORKER]
    register = str(FOLDER / "register.pb")
    told = ("-addr", at, "-secret", secret, "-register", register)
    process = await asyncio.create_subprocess_exec(
        str(program), *told, *more, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield GoWorker(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def test_a_go_worker_registers_and_posts_results_over_http_2(tmp_path: Path) -> None:
    async with broker(tmp_path, IMAGE) as some, go_worker(some.authority) as one:
        await one.says("registered")
        async with some.session.post(f"{some.runner}/text-to-image", json=PROMPT) as response:
            assert response.status == 200
            images = (await response.json())["images"]
        assert images[0]["url"].startswith("data:image/png;base64,AAAA")
        posted = await one.says("posted")
        assert (posted["status"], posted["proto"]) == (200, "HTTP/2.0")


async def test_a_go_worker_fetches_its_input_over_http_1(tmp_path: Path) -> None:
    form = aiohttp.FormData()
    form.add_field("audio", b"RIFF" * 250_000, filename="audio")
    form.add_field("model_id", "m/sd")
    async with broker(tmp_path, AUDIO) as some, go_worker(some.authority) as one:
        await one.says("registered")
        async with some.session.post(f"{some.runner}/audio-to-text", data=form) as response:
            assert await response.json() == {"text": "hello", "chunks": []}
        assert (await one.says("job"))["input"] == 1_000_000


async def test_a_go_worker_hears_when_the_broker_ends(tmp_path: Path) -> None:
    async with broker(tmp_path, IMAGE) as some:
        stack = contextlib.AsyncExitStack()
        one = await stack.enter_async_context(go_worker(some.authority))
        await one.says("registered")
    async with stack:
        # Not CANCELED, which a stock worker takes for the end: it comes back.
        assert (await one.says("ended"))["code"] in ("Unavailable", "Unknown", "OK")


async def test_a_result_of_many_megabytes_comes_through_without_being_in_memory(
    tmp_path: Path,
) -> None:
    size = 64 * 1024 * 1024
    async with (
        broker(tmp_path, IMAGE) as some,
        go_worker(some.authority, "-size", str(size)) as one,
    ):
        await one.says("registered")
        before, length = _peak_kib(), 0
        async with some.session.post(f"{some.runner}/text-to-image", json=PROMPT) as response:
            async for chunk in response.content.iter_chunked(1 << 16):
                length += len(chunk)
        assert length > size * 4 // 3
        assert (await one.says("posted"))["status"] == 200
        assert _peak_kib() - before < 48 * 1024


async def test_a_go_worker_does_tasks_behind_our_worker_and_is_known_to_have_gone(
    tmp_path: Path,
) -> None:
    ca = tmp_path / "ca.pem"
    options = Options("127.0.0.1:0", "127.0.0.1:0", SECRET, (Target(*IMAGE),), away_seconds=0.2)
    async with broker(tmp_path, IMAGE) as some, StockDesk(options) as desk:
        ca.write_bytes(some.certificate)
        runners = (Runner(Target(*IMAGE), desk.url),)
        brokers = Brokers((some.authority,))
        ours = Worker(Settings(brokers, lambda: SECRET, runners, ca, before=desk.registered))
        stop = asyncio.Event()
        working = asyncio.create_task(ours.run(stop))
        async with go_worker(f"127.0.0.1:{desk.serving.port}") as one:
            async with some.session.post(f"{some.runner}/text-to-image", json=PROMPT) as response:
                images = (await response.json())["images"]
            assert images[0]["url"].startswith("data:image/png;base64,AAAA")
            assert (await one.says("posted"))["status"] == 200
            assert desk.presence() is Presence.HERE
        await eventually(lambda: desk.presence() is Presence.STOPPED)
        stop.set()
        await working


def _peak_kib() -> int:
    """The most memory that this process has had, in KiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))

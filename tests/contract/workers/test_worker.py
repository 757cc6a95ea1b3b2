"""Our own worker between a broker and an ai-runner: a real job, a drain, and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from aiohttp import web
from tests.kit.egress.scene import eventually
from tests.kit.workers.scene import SECRET, Broker, broker

from mediafleet_scheduler.broker.models import ModelEntry
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.views import Target
from mediafleet_scheduler.worker.brokers import Brokers
from mediafleet_scheduler.worker.client import Settings, TurnedAwayError, Worker
from mediafleet_scheduler.worker.runners import BadRunnerError, Runner, runner_of
from mediafleet_scheduler.worker.times import Times
from mediafleet_testbed.paths import REPOSITORY
from mediafleet_testbed.standins import speech_runner

SOUND: Final = REPOSITORY / "tests/kit/workers/go_forward_ten_meters.wav"
SPEECH = (Pipeline.AUDIO_TO_TEXT, "pocketsphinx/en-us")
IMAGE = (Pipeline.TEXT_TO_IMAGE, "m/sd")


@contextlib.asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """A runner on a port of its own."""
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@contextlib.asynccontextmanager
async def worker(
    of: Broker,
    tmp_path: Path,
    *runners: Runner,
    secret: str = SECRET,
    times: Times = Times(),  # noqa: B008 - frozen
) -> AsyncIterator[tuple[asyncio.Event, asyncio.Task[None]]]:
    """Our worker, registered; what ends it, and its course."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(of.certificate)
    registered, stop = asyncio.Event(), asyncio.Event()
    settings = Settings(Brokers((of.authority,)), lambda: secret, runners, ca, times=times)
    running = asyncio.create_task(Worker(settings, registered.set).run(stop))
    entered = asyncio.create_task(registered.wait())
    await asyncio.wait({running, entered}, return_when=asyncio.FIRST_COMPLETED)
    entered.cancel()
    yield stop, running
    stop.set()
    await asyncio.gather(running, return_exceptions=True)


async def say(of: Broker, sound: bytes) -> tuple[int, dict[str, object]]:
    form = aiohttp.FormData()
    form.add_field("audio", sound, filename="audio")
    form.add_field("model_id", SPEECH[1])
    async with of.session.post(f"{of.runner}/audio-to-text", data=form) as response:
        return response.status, await response.json()


async def test_speech_becomes_its_words_through_broker_worker_and_runner(tmp_path: Path) -> None:
    async with (
        served(speech_runner.app(SPEECH[1])) as url,
        broker(tmp_path, SPEECH) as some,
        worker(some, tmp_path, Runner(Target(*SPEECH), url)),
    ):
        status, answer = await say(some, SOUND.read_bytes())
    assert status == 200
    assert answer["text"] == "go forward ten meters and turn left"


async def test_a_runners_refusal_is_told_to_the_caller(tmp_path: Path) -> None:
    async with (
        served(speech_runner.app(SPEECH[1])) as url,
        broker(tmp_path, SPEECH) as some,
        worker(some, tmp_path, Runner(Target(*SPEECH), url)),
    ):
        status, answer = await say(some, b"no sound")
    assert status == 500
    assert "no WAV file" in str(answer)


async def test_a_wrong_secret_ends_the_worker_with_the_brokers_words(tmp_path: Path) -> None:
    async with (
        broker(tmp_path, SPEECH) as some,
        worker(some, tmp_path, Runner(Target(*SPEECH), "http://127.0.0.1:1"), secret="x") as (
            _,
            running,
        ),
    ):
        with pytest.raises(TurnedAwayError, match="invalid secret"):
            await running


async def test_a_worker_that_is_told_to_stop_finishes_its_job(tmp_path: Path) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        begun.set()
        await go_on.wait()
        return web.json_response({"images": [{"url": "data:image/png;base64,QUJD"}]})

    app = web.Application()
    app.add_routes([web.post("/text-to-image", slow)])
    async with (
        served(app) as url,
        broker(tmp_path, IMAGE) as some,
        worker(some, tmp_path, Runner(Target(*IMAGE), url)) as (stop, running),
    ):
        body = {"model_id": "m/sd", "prompt": "x"}

        async def ask() -> object:
            async with some.session.post(f"{some.runner}/text-to-image", json=body) as response:
                return await response.json()

        asking = asyncio.create_task(ask())
        await begun.wait()
        stop.set()
        await asyncio.wait({running}, timeout=0.05)
        assert not running.done()
        go_on.set()
        await running
        assert await asking == {"images": [{"url": "data:image/png;base64,QUJD"}]}
        await eventually(lambda: not some.serving.jobs.dispatcher.workers)


@dataclass(slots=True)
class Told:
    """A runner of IMAGE that says what it is."""

    version: str | None
    """`None`: it never answers."""
    gpus: dict[str, object] = field(default_factory=dict)

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/version", self._version),
                web.get("/hardware/info", self._hardware),
                web.post("/text-to-image", self._run),
            ]
        )
        return app

    async def _version(self, _: web.Request) -> web.Response:
        if self.version is None:
            await asyncio.Event().wait()
        return web.json_response({**NAMES, "version": self.version})

    async def _hardware(self, _: web.Request) -> web.Response:
        return web.json_response({**NAMES, "gpu_info": self.gpus})

    async def _run(self, _: web.Request) -> web.Response:
        return web.json_response({"images": []})


NAMES = {"pipeline": IMAGE[0], "model_id": IMAGE[1]}
LEAST = ModelEntry(pipeline=IMAGE[0], model=IMAGE[1], min_runner_version="0.14.1", wait_seconds=20)


async def picture(of: Broker) -> int:
    body = {"model_id": IMAGE[1], "prompt": "x"}
    async with of.session.post(f"{of.runner}/text-to-image", json=body) as response:
        return response.status


async def test_a_runners_version_and_gpus_are_declared_so_that_its_model_gets_tasks(
    tmp_path: Path,
) -> None:
    gpu = {"id": "GPU-0", "name": "RTX 4090", "major": 8, "minor": 9, "memory_total": 2}
    told = Told("0.14.1", {"0": gpu})
    async with (
        served(told.app()) as url,
        broker(tmp_path, LEAST) as some,
        worker(some, tmp_path, Runner(Target(*IMAGE), url)),
    ):
        assert await picture(some) == 200
        (known,) = some.serving.jobs.dispatcher.workers
        assert known.offers[Target(*IMAGE)].version == "0.14.1"
        assert known.hardware == ("RTX 4090",)


async def test_a_runner_that_says_nothing_is_registered_without_a_version_and_anew_with_one(
    tmp_path: Path,
) -> None:
    told = Told(None)
    times = Times(claims_seconds=0.2, claims_again_seconds=0.2)
    async with (
        served(told.app()) as url,
        broker(tmp_path, LEAST) as some,
        worker(some, tmp_path, Runner(Target(*IMAGE), url), times=times),
    ):
        (known,) = some.serving.jobs.dispatcher.workers
        assert known.offers[Target(*IMAGE)].version is None
        asking = asyncio.create_task(picture(some))
        await eventually(lambda: some.serving.jobs.dispatcher.waiting(Target(*IMAGE)) == 1)
        told.version = "0.15.0"
        assert await asking == 200


async def test_a_runner_in_its_url_behind_something_else_is_asked_itself(tmp_path: Path) -> None:
    told = Told("0.14.1")
    async with (
        served(told.app()) as url,
        broker(tmp_path, LEAST) as some,
        worker(some, tmp_path, Runner(Target(*IMAGE), "http://127.0.0.1:1", itself=url)),
    ):
        (known,) = some.serving.jobs.dispatcher.workers
        assert known.offers[Target(*IMAGE)].version == "0.14.1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("llm/a/b=http://r:8000", Runner(Target(Pipeline.LLM, "a/b"), "http://r:8000")),
        ("upscale/m*4=https://r/x/", Runner(Target(Pipeline.UPSCALE, "m"), "https://r/x", 4)),
    ],
)
def test_a_runner_is_a_model_and_a_url(text: str, expected: Runner) -> None:
    assert runner_of(text) == expected


@pytest.mark.parametrize(
    "text", ["llm/m", "dream/m=http://r", "llm/=http://r", "llm/m*0=http://r", "llm/m=http://"]
)
def test_what_is_no_runner_is_refused_with_how_one_is_written(text: str) -> None:
    with pytest.raises(BadRunnerError, match=r"PIPELINE/MODEL=URL"):
        runner_of(text)

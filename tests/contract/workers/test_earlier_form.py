"""The earlier form of remote AI workers: net.Transcoder/RegisterAIWorker, results as one JSON."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from tests.kit.egress.scene import eventually
from tests.kit.workers.orchestrator import Orchestrator
from tests.kit.workers.scene import SECRET, Broker, broker

from mediafleet_common.wire.ai_worker_pb2 import EarlierNotifyAIJob, EarlierRegisterRequest
from mediafleet_scheduler.broker.models import ModelEntry, ModelsFile, rendered
from mediafleet_scheduler.broker.registrations import EARLIER_PATH
from mediafleet_scheduler.core.workers.pipelines import FORMS, Pipeline
from mediafleet_scheduler.core.workers.views import Target

TYPES = {
    Pipeline.TEXT_TO_IMAGE: 0,
    Pipeline.IMAGE_TO_TEXT: 1,
    Pipeline.IMAGE_TO_IMAGE: 2,
    Pipeline.UPSCALE: 3,
    Pipeline.AUDIO_TO_TEXT: 4,
}
LIGHTNING = (Pipeline.TEXT_TO_IMAGE, "ByteDance/SDXL-Lightning")
UPSCALER = (Pipeline.UPSCALE, "stabilityai/stable-diffusion-x4-upscaler")
DOG = {
    "model_id": "ByteDance/SDXL-Lightning",
    "prompt": "Cool dog at a rave party",
    "width": 1024,
    "height": 1024,
}
IMAGES = {"images": [{"url": "data:image/png;base64,AAAA", "seed": 7, "nsfw": False}]}


class Earlier:
    """A worker of the earlier form."""

    def __init__(self, broker: Broker, call: grpc.aio.UnaryStreamCall[Any, Any]) -> None:
        self._broker = broker
        self._call = call

    async def job(self) -> EarlierNotifyAIJob:
        """The next one."""
        job = await self._call.read()
        assert isinstance(job, EarlierNotifyAIJob)
        return job

    async def post(self, secret: str = SECRET, **fields: object) -> int:
        """A result; the status of the answer."""
        headers = {"Authorization": "Livepeer-Transcoder-1.0", "Credentials": secret}
        url = f"https://{self._broker.authority}/aiResults"
        session = self._broker.session
        async with session.post(url, json=fields, headers=headers, ssl=False) as response:
            return response.status

    async def done(self, job: EarlierNotifyAIJob, result: object) -> int:
        """A job's result, as the seed's worker marshals it."""
        data = base64.b64encode(json.dumps(result).encode()).decode()
        return await self.post(JobType=job.type, TaskID=job.task_id, Data=data, Err="")


@contextlib.asynccontextmanager
async def earlier(
    of: Broker, *models: tuple[Pipeline, str], secret: str = SECRET
) -> AsyncIterator[Earlier]:
    """A worker that has registered, or tries to."""
    message = EarlierRegisterRequest(secret=secret, capacity=1)
    per_capability = message.capabilities.constraints.per_capability
    for pipeline, model in models:
        per_capability[FORMS[pipeline].capability].models[model].warm = True
    trusted = grpc.ssl_channel_credentials(of.certificate)
    async with grpc.aio.secure_channel(of.authority, trusted) as channel:
        register = channel.unary_stream(
            EARLIER_PATH,
            request_serializer=EarlierRegisterRequest.SerializeToString,
            response_deserializer=EarlierNotifyAIJob.FromString,
        )
        call = register(message)
        yield Earlier(of, call)
        call.cancel()


async def curl(of: Broker, path: str, **how: Any) -> tuple[int, Any]:
    """A caller's request, through to its answer."""
    async with of.session.post(f"{of.runner}/{path}", **how) as response:
        return response.status, await response.json()


async def test_the_text_to_image_request_of_the_design_comes_back_with_its_images(
    tmp_path: Path,
) -> None:
    async with broker(tmp_path, LIGHTNING) as some, earlier(some, LIGHTNING) as one:
        asking = asyncio.create_task(curl(some, "text-to-image", json=DOG))
        job = await one.job()
        assert job.type == TYPES[Pipeline.TEXT_TO_IMAGE]
        assert json.loads(job.data) == {"input_url": "", "request": DOG}
        assert await one.done(job, IMAGES) == 200
        assert await asking == (200, IMAGES)


async def test_the_upscale_request_of_the_design_reaches_a_worker_with_its_image(
    tmp_path: Path,
) -> None:
    form = aiohttp.FormData()
    form.add_field("model_id", UPSCALER[1])
    form.add_field("prompt", "sharper")
    form.add_field("image", b"not much of a picture", filename="dog.png")
    async with broker(tmp_path, UPSCALER) as some, earlier(some, UPSCALER) as one:
        asking = asyncio.create_task(curl(some, "upscale", data=form))
        job = await one.job()
        assert job.type == TYPES[Pipeline.UPSCALE]
        async with some.session.get(json.loads(job.data)["input_url"], ssl=False) as response:
            assert await response.read() == b"not much of a picture"
        assert await one.done(job, IMAGES) == 200
        assert await asking == (200, IMAGES)


async def test_a_worker_of_this_form_is_asked_for_the_five_pipelines_that_it_can_name(
    tmp_path: Path,
) -> None:
    models = [(pipeline, "m") for pipeline in FORMS]
    taken = (Pipeline.TEXT_TO_IMAGE, "m")
    async with broker(tmp_path, taken) as some, earlier(some, *models) as one:
        asking = asyncio.create_task(curl(some, "text-to-image", json={**DOG, "model_id": "m"}))
        await one.done(await one.job(), IMAGES)
        await asking
        (worker,) = some.serving.jobs.dispatcher.workers
        assert worker.offers.keys() == {Target(pipeline, "m") for pipeline in TYPES}


async def test_an_error_is_tried_at_the_next_worker_and_told_when_all_have_failed(
    tmp_path: Path,
) -> None:
    async with (
        broker(tmp_path, LIGHTNING) as some,
        earlier(some, LIGHTNING) as one,
        earlier(some, LIGHTNING) as other,
    ):
        jobs = some.serving.jobs
        await eventually(lambda: len(jobs.dispatcher.workers) == 2)
        asking = asyncio.create_task(curl(some, "text-to-image", json=DOG))
        hearing = {asyncio.create_task(each.job()): each for each in (one, other)}
        for words in ("out of memory", "still out of memory"):
            done, _ = await asyncio.wait(hearing, return_when=asyncio.FIRST_COMPLETED)
            heard = done.pop()
            job = heard.result()
            posted = hearing.pop(heard).post(JobType=job.type, TaskID=job.task_id, Err=words)
            assert await posted == 200
        assert await asking == (500, {"detail": {"msg": "still out of memory"}})


async def test_a_wrong_secret_neither_registers_nor_ends_a_task(tmp_path: Path) -> None:
    async with broker(tmp_path, LIGHTNING) as some:
        async with earlier(some, LIGHTNING, secret="abcd") as stranger:
            with pytest.raises(grpc.aio.AioRpcError, match="invalid secret"):
                await stranger.job()
        async with earlier(some, LIGHTNING) as one:
            asking = asyncio.create_task(curl(some, "text-to-image", json=DOG))
            job = await one.job()
            assert await one.post("abcd", JobType=0, TaskID=job.task_id, Err="broken") == 401
            assert await one.done(job, IMAGES) == 200
            assert await asking == (200, IMAGES)


@contextlib.asynccontextmanager
async def orchestrated(
    tmp_path: Path, wait_seconds: float = 60, capacity: int = 1
) -> AsyncIterator[tuple[Broker, Orchestrator]]:
    """A broker with a token, and an orchestrator that was started with its aiModels.json."""
    entries = [
        ModelEntry(pipeline=pipeline, model=model, wait_seconds=wait_seconds)
        for pipeline, model in (LIGHTNING, UPSCALER)
    ]
    async with broker(tmp_path, *entries, token=lambda: "tok") as some:
        printed = rendered(ModelsFile(models=entries), some.runner, capacity, "tok")
        there = Orchestrator(some.session, json.loads(json.dumps(printed)))
        await there.start()
        yield some, there


def upscale() -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("model_id", UPSCALER[1])
    form.add_field("prompt", "sharper")
    form.add_field("image", b"not much of a picture", filename="dog.png")
    return form


async def test_both_requests_of_the_design_go_through_an_orchestrator_with_true_results(
    tmp_path: Path,
) -> None:
    async with orchestrated(tmp_path) as (some, there), earlier(some, LIGHTNING, UPSCALER) as one:
        for target, how in ((LIGHTNING, {"json": DOG}), (UPSCALER, {"data": upscale()})):
            asking = asyncio.create_task(there.run(target[0].value, target[1], **how))
            await one.done(await one.job(), IMAGES)
            assert await asking == (200, IMAGES)
        assert there.in_use.total() == 0


async def test_an_orchestrator_survives_every_answer_and_has_its_capacity_back(
    tmp_path: Path,
) -> None:
    """No room, a request that is none, a wrong token, a worker's error."""
    async with orchestrated(tmp_path, wait_seconds=0.5) as (some, there):
        kind, model = LIGHTNING[0].value, LIGHTNING[1]
        full = {"detail": {"msg": "insufficient capacity"}}
        assert await there.run(kind, model, json=DOG) == (500, full)
        assert (await there.run(kind, model, json={"model_id": model}))[0] == 422
        assert (await there.run(kind, model, data=b"{"))[0] == 400
        assert (await there.run(kind, model, json={**DOG, "model_id": "other"}))[0] == 400
        stranger = Orchestrator(
            some.session, [{**dict(there.entry(kind, model)), "token": "wrong"}]
        )
        assert (await stranger.run(kind, model, json=DOG))[0] == 401
    async with orchestrated(tmp_path) as (some, other), earlier(some, LIGHTNING) as one:
        asking = asyncio.create_task(other.run(kind, model, json=DOG))
        job = await one.job()
        await one.post(JobType=job.type, TaskID=job.task_id, Err="out of memory")
        assert await asking == (500, {"detail": {"msg": "out of memory"}})
    assert (there.in_use + other.in_use + stranger.in_use).total() == 0

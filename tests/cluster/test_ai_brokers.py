"""Two brokers of the chart on a node: what a worker brings to the wrong one reaches its owner.

The worker is the test itself. It registers at one broker, and fetches the input and posts the
result at the other, as behind one address for all brokers.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import aiohttp
import grpc.aio
import pytest
from tests.kit.cluster.ai_workers import BROKER, HEADERS, make_secret
from tests.kit.cluster.product import Product, deployed
from tests.kit.cluster.scene import Scene, watched
from tests.kit.workers.scene import AUTHORIZATION, registration

from mediafleet_common.wire.ai_worker_pb2 import NotifyAIJob, RegisterAIWorkerRequest
from mediafleet_scheduler.broker.registrations import PATH
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

SECONDS: Final = 60.0
SECRET: Final = "of-workers"
SPEECH: Final = (Pipeline.AUDIO_TO_TEXT, "standin")
SOUND: Final = b"RIFF" + bytes(range(256)) * 64
TAKEN: Final = {"pipeline": SPEECH[0].value, "model": SPEECH[1], "wait_seconds": 60}
VALUES: Final = {
    "broker": {
        **BROKER,
        "models": [TAKEN],
        "replicas": 2,
        "redis": {"url": "redis://redis:6379"},
    }
}

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    make_secret(workspace)
    with deployed(node, workspace, VALUES) as product:
        yield product


@pytest.fixture
async def scene(product: Product) -> AsyncIterator[Scene]:
    async with watched(product) as scene:
        yield scene


def addresses(scene: Scene) -> list[str]:
    """Of the brokers' pods."""
    return [each.ip for each in scene.pods.component("broker") if each.ip]


@asynccontextmanager
async def registered(scene: Scene, host: str) -> AsyncIterator[AsyncIterator[NotifyAIJob]]:
    """A worker at one broker; its jobs."""
    secret = scene.product.workspace.get("secret", "mediafleet-broker-tls")
    trusted = grpc.ssl_channel_credentials(base64.b64decode(secret["data"]["tls.crt"]))
    name = f"mediafleet-broker.{scene.namespace}.svc"
    options = [("grpc.ssl_target_name_override", name)]
    async with grpc.aio.secure_channel(f"{host}:8935", trusted, options) as channel:
        register = channel.unary_stream(
            PATH,
            request_serializer=RegisterAIWorkerRequest.SerializeToString,
            response_deserializer=NotifyAIJob.FromString,
        )
        call = register(registration(SPEECH, secret=SECRET))
        await call.wait_for_connection()
        yield aiter(call)
        call.cancel()


async def ask(session: aiohttp.ClientSession, host: str) -> tuple[int, Any]:
    """A task of the runner API, from its submission to its result."""
    form = aiohttp.FormData()
    form.add_field("audio", SOUND, filename="audio")
    form.add_field("model_id", SPEECH[1])
    async with session.post(
        f"http://{host}:8080/audio-to-text", data=form, headers=HEADERS
    ) as response:
        return response.status, await response.json()


async def fetched(session: aiohttp.ClientSession, host: str, path: str) -> bytes | None:
    """A job's input at one broker; `None`: it does not have it, nor knows who has."""
    async with session.get(f"https://{host}:8935{path}", ssl=False) as response:
        return await response.read() if response.status == 200 else None


async def posted(session: aiohttp.ClientSession, host: str, task: int, words: str) -> int:
    """A result, posted at one broker."""
    part = json.dumps({"text": words, "chunks": []}).encode()
    data = b"--b\r\nContent-Type: application/json\r\n\r\n" + part + b"\r\n--b--\r\n"
    headers = {
        "Authorization": AUTHORIZATION,
        "Credentials": SECRET,
        "TaskId": str(task),
        "Pipeline": SPEECH[0].value,
        "Content-Type": "multipart/mixed; boundary=b",
    }
    url = f"https://{host}:8935/aiResults"
    async with session.post(url, data=data, headers=headers, ssl=False) as response:
        return response.status


async def test_an_input_and_a_result_at_another_broker_reach_the_owner_of_the_task(
    scene: Scene,
) -> None:
    await scene.pods.until("both brokers are seen", lambda: len(addresses(scene)) == 2, SECONDS)
    hosts = addresses(scene)
    async with aiohttp.ClientSession() as session:
        for owner, other in (hosts, hosts[::-1]):
            async with registered(scene, owner) as jobs, asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(ask(session, owner))
                job = await anext(jobs)
                url = json.loads(job.ai_job_data.request_data)["input_url"]
                path = url[url.index("/", len("https://")) :]
                sound = await until(
                    "the other broker knows the owner",
                    partial(fetched, session, other, path),
                    lambda content: content is not None,
                    seconds=SECONDS,
                )
                assert sound == SOUND
                assert await posted(session, other, job.task_id, f"at {other}") == 200
                # The second time its task is over: it is answered, and not applied.
                await posted(session, other, job.task_id, "twice")
                status, answer = await asking
            assert (status, answer["text"]) == (200, f"at {other}")

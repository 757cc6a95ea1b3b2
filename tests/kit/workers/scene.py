"""A broker in this process, and workers and orchestrators that reach it over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import grpc
from prometheus_client import CollectorRegistry

from mediafleet_common.serving.tls import self_signed
from mediafleet_common.wire.ai_worker_pb2 import NotifyAIJob, RegisterAIWorkerRequest
from mediafleet_scheduler.broker.models import ModelEntry
from mediafleet_scheduler.broker.registrations import PATH
from mediafleet_scheduler.broker.serve import Serving, Settings, serve
from mediafleet_scheduler.core.workers.pipelines import FORMS, Pipeline
from mediafleet_scheduler.directory.publisher import Publisher

SECRET = "s3cret"
AUTHORIZATION = "Livepeer-AI-Worker-1.0"


ThingT = TypeVar("ThingT")


class Told(Publisher[tuple[ThingT, ...]]):
    """What a file would say, such as models; changed by `publish` alone."""

    def __init__(self, told: tuple[ThingT, ...]) -> None:
        super().__init__()
        self.publish(told)

    async def run(self) -> None:
        """Nothing to follow."""


@dataclass(slots=True)
class Broker:
    """A broker, and how to reach it."""

    serving: Serving
    certificate: bytes
    registry: CollectorRegistry
    session: aiohttp.ClientSession
    stop: asyncio.Event
    """Set: the broker ends."""

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.serving.port}"

    @property
    def runner(self) -> str:
        return f"http://127.0.0.1:{self.serving.http_port}"

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"mediafleet_broker_{name}", labels) or 0.0

    async def post_result(
        self, attempt: int, body: bytes | AsyncIterator[bytes], media: str, **more: str
    ) -> tuple[int, str]:
        """A result by HTTP/1.1."""
        headers = {
            "Authorization": AUTHORIZATION,
            "Credentials": SECRET,
            "TaskId": str(attempt),
            "Content-Type": media,
            **more,
        }
        url = f"https://{self.authority}/aiResults"
        async with self.session.post(url, data=body, headers=headers, ssl=False) as response:
            return response.status, await response.text(errors="replace")


@contextlib.asynccontextmanager
async def broker(
    tmp_path: Path,
    *models: tuple[Pipeline, str] | ModelEntry,
    wait_seconds: float = 20,
    **more: Any,
) -> AsyncIterator[Broker]:
    """A broker that takes these models, each task within `wait_seconds`; `pair`: its key and
    certificate."""
    key, certificate = more.pop("pair", None) or self_signed(["127.0.0.1"])
    (tmp_path / "tls.pem").write_bytes(key + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")
    entries = [
        each
        if isinstance(each, ModelEntry)
        else ModelEntry(pipeline=each[0], model=each[1], wait_seconds=wait_seconds)
        for each in models
    ]
    sha = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.decode())).hexdigest()
    given = {"secrets": lambda: [SECRET], "spool": tmp_path, "fingerprint": lambda: sha, **more}
    listen = given.pop("listen", "127.0.0.1:0")
    settings = Settings(listen, "127.0.0.1:0", context, **given)
    ready: asyncio.Future[Serving] = asyncio.get_running_loop().create_future()
    stop, registry = asyncio.Event(), CollectorRegistry()
    running = asyncio.create_task(
        serve(settings, Told(tuple(entries)), stop, ready.set_result, registry)
    )
    async with aiohttp.ClientSession() as session:
        running.add_done_callback(lambda _: ready.cancel())
        await ready
        yield Broker(ready.result(), certificate, registry, session, stop)
    stop.set()
    await running


@dataclass(slots=True)
class Worker:
    """A worker's stream, by gRPC's own client."""

    call: grpc.aio.UnaryStreamCall[Any, Any]
    broker: Broker
    jobs: asyncio.Queue[NotifyAIJob] = field(default_factory=asyncio.Queue)

    async def job(self) -> tuple[int, str, dict[str, Any]]:
        """The next job: its task id, pipeline and request data."""
        message = await self.jobs.get()
        data = json.loads(message.ai_job_data.request_data)
        return message.task_id, message.ai_job_data.pipeline, data

    async def input(self, url: str) -> bytes:
        """The input of a job, fetched as a worker does."""
        async with self.broker.session.get(url, ssl=False) as response:
            response.raise_for_status()
            return await response.read()

    def leave(self) -> None:
        """The stream ends."""
        self.call.cancel()


def registration(
    *models: tuple[Pipeline, str], capacity: int = 1, secret: str = SECRET
) -> RegisterAIWorkerRequest:
    """What a worker of these models registers with."""
    message = RegisterAIWorkerRequest(secret=secret)
    per_capability = message.capabilities.constraints.per_capability
    for pipeline, model in models:
        told = per_capability[FORMS[pipeline].capability].models[model]
        told.capacity, told.warm = capacity, True
    return message


@contextlib.asynccontextmanager
async def worker(broker: Broker, message: RegisterAIWorkerRequest) -> AsyncIterator[Worker]:
    """A worker that is registered, until it leaves."""
    trusted = grpc.ssl_channel_credentials(broker.certificate)
    async with grpc.aio.secure_channel(broker.authority, trusted) as channel:
        register = channel.unary_stream(
            PATH,
            request_serializer=RegisterAIWorkerRequest.SerializeToString,
            response_deserializer=NotifyAIJob.FromString,
        )
        found = Worker(register(message), broker)

        async def listen() -> None:
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
                async for job in found.call:
                    found.jobs.put_nowait(job)

        await found.call.wait_for_connection()
        listening = asyncio.create_task(listen())
        yield found
        found.leave()
        await listening

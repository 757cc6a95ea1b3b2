"""A stand-in for `livepeer -aiWorker` whose models all have a runner's URL.

It does what go-livepeer 0.9 does, in its order: asks Docker, waits for the runners, registers
without verifying anybody, and takes tasks to the runners. When its stream has ended for good its
process stays alive, and does nothing. SIGUSR1 ends its stream so.

Flags as go-livepeer's: -orchAddr, -orchSecret, -aiModels; the environment has DOCKER_HOST.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import grpc
import grpc.aio

from mediafleet_common.serving.addresses import split_host_port
from mediafleet_common.wire.ai_worker_pb2 import NotifyAIJob, RegisterAIWorkerRequest
from mediafleet_scheduler.core.workers.pipelines import FORMS, Pipeline
from mediafleet_scheduler.core.workers.views import Target
from mediafleet_scheduler.worker.brokers import Place
from mediafleet_scheduler.worker.client import REGISTER
from mediafleet_scheduler.worker.posts import Post
from mediafleet_scheduler.worker.runners import Answer, Runner, RunnerError, Runners
from mediafleet_scheduler.worker.times import Times

RUNNER_SECONDS: Final = 120.0
_IMAGE: Final = quote("livepeer/ai-runner:latest", safe="/:")
_PAUSE_SECONDS: Final = 0.5


class NoDockerError(Exception):
    """Docker does not answer as it should: a stock worker ends."""


@dataclass(slots=True)
class StockWorker:
    """One stock worker."""

    address: str
    """HOST:PORT of the broker."""
    secret: str
    models: tuple[Mapping[str, Any], ...]
    """The entries of aiModels.json."""
    docker: str
    """http://HOST:PORT of Docker's API."""
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: its stream ends for good."""

    async def run(self) -> None:
        """Work until `stopped`, then stay without doing anything.

        Raises:
            NoDockerError: Docker does not answer.
            TimeoutError: a runner does not.
        """
        unverified = aiohttp.TCPConnector(ssl=False)
        async with aiohttp.ClientSession(connector=unverified) as session:
            await self._ask_docker(session)
            async with asyncio.timeout(RUNNER_SECONDS):
                await Runners(session).answer(self._runners())
            working = asyncio.create_task(self._register(session))
            stopping = asyncio.create_task(self.stopped.wait())
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for each in (working, stopping):
                each.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)
            await asyncio.Event().wait()

    async def _ask_docker(self, session: aiohttp.ClientSession) -> None:
        async with session.head(f"{self.docker}/_ping") as response:
            version = response.headers.get("Api-Version")
        if version is None:
            raise NoDockerError("no version")
        asked = {"all": "1", "filters": '{"label":{"creator=ai-worker":true}}'}
        url = f"{self.docker}/v{version}/containers/json"
        async with session.get(url, params=asked) as response:
            if response.status != 200 or await response.json() != []:
                raise NoDockerError("containers")
        async with session.get(f"{self.docker}/v{version}/images/{_IMAGE}/json") as response:
            if response.status != 200:
                raise NoDockerError("images")

    def _runners(self) -> list[Runner]:
        return [
            Runner(
                Target(Pipeline(each["pipeline"]), each["model_id"]),
                each["url"],
                each.get("capacity", 1),
                each.get("warm", False),
            )
            for each in self.models
        ]

    async def _register(self, session: aiohttp.ClientSession) -> None:
        """Be registered; returns when the stream has ended for good."""
        message = RegisterAIWorkerRequest(secret=self.secret)
        message.capabilities.version = "0.9.1"
        per_capability = message.capabilities.constraints.per_capability
        for each in self._runners():
            told = per_capability[FORMS[each.target.pipeline].capability].models[each.target.model]
            told.capacity, told.warm = each.capacity, each.warm
        while True:
            try:
                await self._stream(session, message)
            except grpc.aio.AioRpcError as error:
                fatal = error.details() in ("invalid secret", "zero capacity")
                if fatal or error.code() is grpc.StatusCode.CANCELLED:
                    return
            except OSError:
                pass
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _stream(
        self, session: aiohttp.ClientSession, message: RegisterAIWorkerRequest
    ) -> None:
        # grpcio verifies always: it is given what the broker shows.
        shown = await asyncio.to_thread(ssl.get_server_certificate, split_host_port(self.address))
        trusted = grpc.ssl_channel_credentials(shown.encode())
        async with grpc.aio.secure_channel(self.address, trusted) as channel:
            register = channel.unary_stream(
                REGISTER,
                request_serializer=RegisterAIWorkerRequest.SerializeToString,
                response_deserializer=NotifyAIJob.FromString,
            )
            async with asyncio.TaskGroup() as jobs:
                async for job in register(message):
                    jobs.create_task(self._work(session, job))

    async def _work(self, session: aiohttp.ClientSession, job: NotifyAIJob) -> None:
        place = Place(self.address, split_host_port(self.address)[0])
        pipeline, task = job.ai_job_data.pipeline, job.task_id
        # It posts a result once, whatever comes of it.
        times = Times(post_again_seconds=0.0)
        post = Post(session, lambda: self.secret, times, place, task, pipeline)
        data = json.loads(job.ai_job_data.request_data)
        request, file = data["request"], None
        if data["input_url"]:
            async with session.get(data["input_url"]) as response:
                file = await response.read()
        model = request[FORMS[Pipeline(pipeline)].model_field]
        runner = next(each for each in self._runners() if each.target == (pipeline, model))
        try:
            async with Runners(session).run(runner, request, file) as answer:
                if isinstance(answer, Answer):
                    await post.answer(answer)
                else:
                    await post.events(answer)
        except RunnerError as error:
            await post.error(str(error))


def main() -> None:
    """Run until a signal. Ends with 0 where a stock worker does."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    for name in ("orchAddr", "orchSecret", "aiModels", "network"):
        parser.add_argument(f"-{name}", required=name != "network")
    parser.add_argument("-aiWorker", action="store_true", required=True)
    options = parser.parse_args()
    docker = os.environ["DOCKER_HOST"].replace("tcp://", "http://")
    models = tuple(json.loads(Path(options.aiModels).read_text()))
    worker = StockWorker(options.orchAddr, options.orchSecret, models, docker)

    async def run() -> None:
        loop, working = asyncio.get_running_loop(), asyncio.create_task(worker.run())
        loop.add_signal_handler(signal.SIGUSR1, worker.stopped.set)
        # As the first process of a container it would not end by default. Tasks are dropped.
        loop.add_signal_handler(signal.SIGTERM, working.cancel)
        endings = (NoDockerError, TimeoutError, aiohttp.ClientError, asyncio.CancelledError)
        with contextlib.suppress(*endings):
            await working

    asyncio.run(run())


if __name__ == "__main__":
    main()

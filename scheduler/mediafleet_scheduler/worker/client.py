"""A worker's side of the wire: register, hear of jobs, post results.

The same messages as a stock worker's (go-livepeer server/ai_worker.go). Unlike a stock one it
verifies the broker, by the authority or certificate that it was given.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import grpc
import grpc.aio

from mediafleet_common.back_off import BackOff
from mediafleet_common.dial import Connector
from mediafleet_common.formats.hosts import with_port
from mediafleet_common.formats.reach import OWN_WORD, PUBLIC
from mediafleet_common.serving.addresses import split_host_port
from mediafleet_common.serving.logs import printable
from mediafleet_common.wire.ai_worker_pb2 import NotifyAIJob, RegisterAIWorkerRequest
from mediafleet_scheduler.core.workers.pipelines import FORMS, Pipeline
from mediafleet_scheduler.core.workers.registration import INSTANCE_HEADER, NAME_HEADER, Refusal
from mediafleet_scheduler.core.workers.steps import FULL_WORDS
from mediafleet_scheduler.worker.runners import Answer, Runner, RunnerError, Runners
from mediafleet_scheduler.worker.times import Times

REGISTER: Final = "/net.AIWorker/RegisterAIWorker"
_SCHEME: Final = "Livepeer-AI-Worker-1.0"
_FIRST_PAUSE_SECONDS: Final = 0.5
_MOST_INPUT: Final = 300 * 1024 * 1024
_KEEP_ALIVE: Final = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
)

_log: Final = logging.getLogger(__name__)


class TurnedAwayError(Exception):
    """The broker will never have this worker; the text is its own."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a worker is set up."""

    broker: str
    """HOST:PORT."""
    secret: Callable[[], str]
    runners: tuple[Runner, ...]
    ca_file: Path | None = None
    """PEM file of the broker's authority or its own certificate; `None`: the system's."""
    server_name: str | None = None
    """The name that the broker's certificate has, if not the one dialled."""
    token: str | None = None
    """What runners are called with."""
    pod: tuple[str, str] | None = None
    """NAMESPACE/NAME and uid of the pod that it is in; `None`: it is in none."""
    waits_for_runners: bool = False
    """Whether it registers only when all runners answer."""
    times: Times = field(default_factory=Times)


@dataclass(slots=True)
class Worker:
    """A worker that registers again whenever its stream ends, until it is stopped."""

    settings: Settings
    on_registered: Callable[[], None] = lambda: None
    registered: bool = False
    """Whether its stream stands."""
    _busy: dict[Runner, int] = field(default_factory=dict)
    _jobs: set[asyncio.Task[None]] = field(default_factory=set)
    _draining: bool = False
    _inputs: aiohttp.ClientSession | None = None
    """For inputs that do not lie at the broker itself."""

    @property
    def tasks(self) -> int:
        """Tasks that it has."""
        return len(self._jobs)

    @property
    def capacity(self) -> int:
        """Tasks that it takes at a time."""
        return sum(runner.capacity for runner in self.settings.runners)

    async def drain(self) -> None:
        """Take no new task, and wait for those that are there."""
        self._draining = True
        while self._jobs:
            await asyncio.wait(self._jobs)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish the jobs that are there.

        Raises:
            TurnedAwayError: the broker will never have it.
        """
        context = ssl.create_default_context(cafile=self.settings.ca_file)
        own, public = (Connector(reach, ssl=context) for reach in (OWN_WORD, PUBLIC))
        async with (
            aiohttp.ClientSession(connector=own) as session,
            aiohttp.ClientSession(connector=public) as self._inputs,
        ):
            listening = asyncio.create_task(self._listen(session))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({listening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if self._jobs:
                _log.info("finishing %d jobs", len(self._jobs))
            await self.drain()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            if not stop.is_set() and not listening.cancelled():
                listening.result()

    async def _listen(self, session: aiohttp.ClientSession) -> None:
        longest = self.settings.times.max_pause_seconds
        back_off = BackOff(_FIRST_PAUSE_SECONDS, longest)
        if self.settings.waits_for_runners:
            await Runners(session, self.settings.token).answer(self.settings.runners)
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._stream(session)
            except grpc.aio.AioRpcError as error:
                words = error.details() or error.code().name
                if words in (Refusal.SECRET, Refusal.CAPACITY, Refusal.LIVE_VIDEO):
                    raise TurnedAwayError(words) from error
                _log.warning("no broker at %s: %s", self.settings.broker, printable(words))
            finally:
                self.registered = False
            if asyncio.get_running_loop().time() - began > longest:
                back_off.reset()
            await asyncio.sleep(back_off.pause())

    async def _stream(self, session: aiohttp.ClientSession) -> None:
        ca = self.settings.ca_file
        trusted = grpc.ssl_channel_credentials(None if ca is None else ca.read_bytes())
        name = self.settings.server_name
        target = _target(self.settings.broker)
        options = [*_KEEP_ALIVE, *([("grpc.ssl_target_name_override", name)] if name else [])]
        async with grpc.aio.secure_channel(target, trusted, options) as channel:
            register = channel.unary_stream(
                REGISTER,
                request_serializer=RegisterAIWorkerRequest.SerializeToString,
                response_deserializer=NotifyAIJob.FromString,
            )
            call = register(self._registration(), metadata=self._metadata())
            await call.wait_for_connection()
            _log.info("registered at %s", self.settings.broker)
            self.registered = True
            self.on_registered()
            async for job in call:
                task = asyncio.create_task(self._work(session, job))
                self._jobs.add(task)
                task.add_done_callback(self._jobs.discard)

    def _registration(self) -> RegisterAIWorkerRequest:
        message = RegisterAIWorkerRequest(secret=self.settings.secret())
        per_capability = message.capabilities.constraints.per_capability
        for runner in self.settings.runners:
            pipeline, model = runner.target
            declared = per_capability[FORMS[pipeline].capability].models[model]
            declared.capacity, declared.warm = declared.capacity + runner.capacity, runner.warm
        return message

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        pod = self.settings.pod
        return () if pod is None else ((NAME_HEADER, pod[0]), (INSTANCE_HEADER, pod[1]))

    async def _work(self, session: aiohttp.ClientSession, job: NotifyAIJob) -> None:
        post = _Post(session, self.settings, job.task_id, job.ai_job_data.pipeline)
        try:
            data = json.loads(job.ai_job_data.request_data)
            request, url = data["request"], data["input_url"]
            runner = self._runner(job.ai_job_data.pipeline, request)
        except (ValueError, KeyError, TypeError):
            await post.error("this worker cannot read the job")
            return
        if runner is None:
            await post.error(FULL_WORDS)
            return
        self._busy[runner] = self._busy.get(runner, 0) + 1
        try:
            file = await self._input(session, url) if url else None
            runners = Runners(session, self.settings.token)
            async with runners.run(runner, request, file) as answer:
                if isinstance(answer, Answer):
                    await post.answer(answer)
                else:
                    await post.events(answer)
        except RunnerError as error:
            await post.error(str(error))
        finally:
            self._busy[runner] -= 1

    async def _input(self, session: aiohttp.ClientSession, url: str) -> bytes:
        host, _ = split_host_port(self.settings.broker)
        at_broker = urlsplit(url).hostname in {host.lower(), self.settings.server_name}
        return await _fetched(session if at_broker else self._inputs or session, self.settings, url)

    def _runner(self, pipeline: str, request: Mapping[str, Any]) -> Runner | None:
        """Who does it; `None`: nobody here, or all are busy."""
        if self._draining:
            return None
        model = request.get(FORMS[Pipeline(pipeline)].model_field)
        for runner in self.settings.runners:
            free = runner.capacity - self._busy.get(runner, 0)
            if runner.target == (pipeline, model) and free > 0:
                return runner
        return None


def _target(broker: str) -> str:
    """A name for gRPC, whatever scheme of its own it looks like (unix:, xds:, vsock:)."""
    return f"dns:///{with_port(*split_host_port(broker))}"


async def _fetched(session: aiohttp.ClientSession, settings: Settings, url: str) -> bytes:
    """A job's input.

    Raises:
        RunnerError: it cannot be had.
    """
    limit = aiohttp.ClientTimeout(total=settings.times.input_seconds)
    body = bytearray()
    try:
        async with session.get(
            url, timeout=limit, allow_redirects=False, server_hostname=settings.server_name
        ) as response:
            response.raise_for_status()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _MOST_INPUT:
                    raise RunnerError(f"the input is longer than {_MOST_INPUT} bytes")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise RunnerError(f"the input cannot be fetched: {type(error).__name__}") from error
    return bytes(body)


@dataclass(frozen=True, slots=True)
class _Post:
    """Where the result of one job goes. A post that fails is not repeated: nobody knows what of it
    was taken."""

    session: aiohttp.ClientSession
    settings: Settings
    task: int
    pipeline: str

    async def error(self, words: str) -> None:
        _log.info("a job of %s: %s", self.pipeline, printable(words))
        await self._send(words.encode(), "livepeer/ai-worker-error")

    async def events(self, events: AsyncIterator[bytes]) -> None:
        await self._send(events, "text/event-stream")

    async def answer(self, answer: Answer) -> None:
        with aiohttp.MultipartWriter("mixed") as parts:
            for name, (media, content) in answer.files.items():
                part = parts.append(content, {"Content-Type": media})
                part.set_content_disposition("attachment", filename=name)
            parts.append(json.dumps(answer.body).encode(), {"Content-Type": "application/json"})
        await self._send(parts, parts.content_type)

    async def _send(self, body: Any, media: str) -> None:
        headers = {
            "Authorization": _SCHEME,
            "Credentials": self.settings.secret(),
            "TaskId": str(self.task),
            "Pipeline": self.pipeline,
            "Content-Type": media,
        }
        limit = aiohttp.ClientTimeout(total=self.settings.times.post_seconds)
        url = f"https://{self.settings.broker}/aiResults"
        try:
            async with self.session.post(
                url, data=body, headers=headers, timeout=limit
            ) as response:
                if response.status != 200:
                    said = printable((await response.text())[:200])
                    _log.warning("a result was refused: HTTP %d: %s", response.status, said)
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.warning("a result was lost: %s", error or type(error).__name__)

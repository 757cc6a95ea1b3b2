"""A worker's side of the wire: register, hear of jobs, post results.

The same messages as a stock worker's (go-livepeer server/ai_worker.go). Unlike a stock one it
verifies the broker, by the authority or certificate that it was given.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import grpc
import grpc.aio

from mediafleet_common.back_off import BackOff
from mediafleet_common.dial import Connector
from mediafleet_common.formats.reach import OWN_WORD, PUBLIC
from mediafleet_common.serving.logs import printable
from mediafleet_common.wire.ai_worker_pb2 import NotifyAIJob, RegisterAIWorkerRequest
from mediafleet_scheduler.core.workers.pipelines import FORMS, Pipeline
from mediafleet_scheduler.core.workers.registration import INSTANCE_HEADER, NAME_HEADER, Refusal
from mediafleet_scheduler.core.workers.steps import FULL_WORDS
from mediafleet_scheduler.worker.brokers import Brokers, Place
from mediafleet_scheduler.worker.claims import RunnerClaims, registration
from mediafleet_scheduler.worker.posts import Post, fetched
from mediafleet_scheduler.worker.runners import Answer, Runner, RunnerError, Runners
from mediafleet_scheduler.worker.times import Times

REGISTER: Final = "/net.AIWorker/RegisterAIWorker"
_FIRST_PAUSE_SECONDS: Final = 0.5
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

    brokers: Brokers
    secret: Callable[[], str]
    runners: tuple[Runner, ...]
    ca_file: Path | None = None
    """PEM file of the broker's authority or its own certificate; `None`: the system's."""
    token: str | None = None
    """What runners are called with."""
    pod: tuple[str, str] | None = None
    """NAMESPACE/NAME and uid of the pod that it is in; `None`: it is in none."""
    waits_for_runners: bool = False
    """Whether it registers only when all runners answer."""
    times: Times = field(default_factory=Times)
    before: Callable[[], Awaitable[None]] | None = None
    """What else it waits for before it registers."""


@dataclass(slots=True)
class Worker:
    """A worker that registers again whenever its stream ends, until it is stopped."""

    settings: Settings
    on_registered: Callable[[], None] = lambda: None
    """Called whenever it has come to stand at all of its brokers."""
    _places: frozenset[Place] = frozenset()
    """Brokers to be registered at."""
    _streams: set[Place] = field(default_factory=set)
    """Brokers whose stream stands."""
    _busy: dict[Runner, int] = field(default_factory=dict)
    _jobs: set[asyncio.Task[None]] = field(default_factory=set)
    _draining: bool = False
    _ending: bool = False
    _anew: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced, when all brokers are to hear of it anew."""
    _inputs: aiohttp.ClientSession | None = None
    """For inputs that do not lie at the broker itself."""

    @property
    def standing(self) -> frozenset[Place]:
        """Brokers that may give it tasks."""
        return frozenset(self._streams)

    @property
    def registered(self) -> bool:
        """Whether there is one."""
        return bool(self._streams)

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

    def resume(self) -> None:
        """Take tasks again after a drain, unless the worker ends."""
        self._draining = self._ending

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
            listening = asyncio.create_task(self._listen_everywhere(session))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({listening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            self._ending = True
            if self._jobs:
                _log.info("finishing %d jobs", len(self._jobs))
            await self.drain()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            if not stop.is_set() and not listening.cancelled():
                listening.result()

    async def _listen_everywhere(self, session: aiohttp.ClientSession) -> None:
        if self.settings.before is not None:
            await self.settings.before()
        if self.settings.waits_for_runners:
            await Runners(session, self.settings.token).answer(self.settings.runners)
        given, brokers = self.settings, self.settings.brokers
        claims = RunnerClaims(session, given.token, given.runners, given.times.claims_seconds)
        # Nobody waits for it again: after a broker's restart all workers come back at once.
        await claims.ask()
        seconds = given.times.look_up_seconds if brokers.change else None
        listening: dict[Place, asyncio.Task[None]] = {}
        asking = asyncio.create_task(self._ask_again(claims))
        try:
            while True:
                found = await brokers.look()
                self._places = self._places if found is None else found
                for place in self._places - listening.keys():
                    listening[place] = asyncio.create_task(self._listen(place, session, claims))
                if not listening:
                    await asyncio.sleep(_FIRST_PAUSE_SECONDS)
                    continue
                await asyncio.wait(
                    listening.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
                )
                for place in [each for each, task in listening.items() if task.done()]:
                    listening.pop(place).result()
        finally:
            ending = (asking, *listening.values())
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def _ask_again(self, claims: RunnerClaims) -> None:
        """Register anew where a runner has become another one, between two tasks."""
        while True:
            await asyncio.sleep(self.settings.times.claims_again_seconds)
            if await claims.ask():
                _log.info("a runner has another version or other GPUs: registering anew")
                while self._jobs:
                    await asyncio.wait(self._jobs)
                before, self._anew = self._anew, asyncio.Event()
                before.set()

    async def _listen(
        self, place: Place, session: aiohttp.ClientSession, claims: RunnerClaims
    ) -> None:
        """Be registered at a broker, for as long as there is one."""
        longest = self.settings.times.max_pause_seconds
        back_off = BackOff(_FIRST_PAUSE_SECONDS, longest)
        while place in self._places:
            began = asyncio.get_running_loop().time()
            try:
                await self._stream(place, session, claims)
            except grpc.aio.AioRpcError as error:
                words = error.details() or error.code().name
                if words in (Refusal.SECRET, Refusal.CAPACITY, Refusal.LIVE_VIDEO):
                    raise TurnedAwayError(words) from error
                _log.warning("no broker at %s: %s", place.address, printable(words))
            finally:
                self._streams.discard(place)
            if asyncio.get_running_loop().time() - began > longest:
                back_off.reset()
            await asyncio.sleep(back_off.pause())

    async def _stream(
        self, place: Place, session: aiohttp.ClientSession, claims: RunnerClaims
    ) -> None:
        ca = self.settings.ca_file
        trusted = grpc.ssl_channel_credentials(None if ca is None else ca.read_bytes())
        name = place.other_name
        options = [*_KEEP_ALIVE, *([("grpc.ssl_target_name_override", name)] if name else [])]
        async with grpc.aio.secure_channel(place.target, trusted, options) as channel:
            register = channel.unary_stream(
                REGISTER,
                request_serializer=RegisterAIWorkerRequest.SerializeToString,
                response_deserializer=NotifyAIJob.FromString,
            )
            anew, message = self._anew, registration(self.settings.secret(), claims.known)
            call = register(message, metadata=self._metadata())
            await call.wait_for_connection()
            _log.info("registered at %s", place.address)
            self._streams.add(place)
            if self._streams >= self._places:
                self.on_registered()
            await _first_of(self._hear(call, place, session), anew.wait())

    async def _hear(
        self, jobs: AsyncIterable[NotifyAIJob], place: Place, session: aiohttp.ClientSession
    ) -> None:
        async for job in jobs:
            task = asyncio.create_task(self._work(place, session, job))
            self._jobs.add(task)
            task.add_done_callback(self._jobs.discard)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        pod = self.settings.pod
        return () if pod is None else ((NAME_HEADER, pod[0]), (INSTANCE_HEADER, pod[1]))

    async def _work(self, place: Place, session: aiohttp.ClientSession, job: NotifyAIJob) -> None:
        post = Post(
            session,
            self.settings.secret,
            self.settings.times,
            place,
            job.task_id,
            job.ai_job_data.pipeline,
            lambda: sorted(self._streams - {place}, key=lambda each: each.address),
        )
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
            file = await self._input(place, session, url) if url else None
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

    async def _input(self, place: Place, session: aiohttp.ClientSession, url: str) -> bytes:
        own, times = place.own(url), self.settings.times
        if own is None:
            return await fetched(self._inputs or session, url, None, times)
        return await fetched(session, own, place.other_name, times)

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


async def _first_of(*calls: Coroutine[Any, Any, object]) -> None:
    """Wait for one of them, and end the others.

    Raises:
        Exception: what one of them raised.
    """
    tasks = [asyncio.create_task(each) for each in calls]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""The ai-runner's HTTP API, for orchestrators that use the broker as an external runner.

Only answers that a stock orchestrator survives: JSON with 200, 400, 401, 422 or 500 in the
runner's shapes; any other status ends its handler and leaks that capacity until it restarts.
Waiting is better than refusing: "insufficient capacity" sends the gateway elsewhere, any other
error suspends the orchestrator. A closed connection is a cancel.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from mediafleet_common.serving.access import same
from mediafleet_scheduler.broker.inputs import Folder, Inputs
from mediafleet_scheduler.broker.jobs import Events, Input, Job, Jobs, TaskFailedError, Whole
from mediafleet_scheduler.broker.models import ModelEntry
from mediafleet_scheduler.broker.requests import UNREADABLE, read
from mediafleet_scheduler.core.workers.choice.versions import oldest
from mediafleet_scheduler.core.workers.orchestrators.llm_events import StockEvents, choices
from mediafleet_scheduler.core.workers.pipelines import (
    FORMS,
    BadRequestError,
    Pipeline,
    model_of,
    session_of,
)
from mediafleet_scheduler.core.workers.steps import Ending
from mediafleet_scheduler.core.workers.views import Target

FULL: Final = "insufficient capacity"
"""In upstream's words: the gateway then tries another session and suspends nobody."""

_CHUNK: Final = 48 * 1024
"""A multiple of three: base64 of a chunk then needs no padding."""
_TYPES: Final = {".png": "image/png", ".mp4": "video/mp4", ".wav": "audio/wav"}

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Door:
    """What callers expect beside a runner's own answers."""

    full_status: int = 500
    """Of the answer when no worker had room in time."""
    last_event: bytes = b""
    """Ends an event stream that does not end with it by itself."""
    as_it_comes: bool = False
    """Whether callers take whatever a worker's event stream holds; otherwise they get what a stock
    orchestrator survives."""


RUNNER: Final = Door()


class _Refused(Exception):  # noqa: N818 - carries an answer
    def __init__(self, answer: web.Response) -> None:
        super().__init__()
        self.answer = answer


class RunnerApi:
    """Routes for `/PIPELINE` and, for one model alone, `/runners/PIPELINE/MODEL/PIPELINE`."""

    def __init__(
        self,
        jobs: Jobs,
        inputs: Inputs,
        models: Callable[[], Iterable[ModelEntry]],
        spool: Path,
        token: Callable[[], str | None],
    ) -> None:
        self._jobs = jobs
        self._inputs = inputs
        self._models = models
        self._spool = spool
        self._token = token

    def routes(self) -> list[web.RouteDef]:
        """To be served on the HTTP port."""
        return [
            *(web.post(f"/{pipeline}", self._run) for pipeline in FORMS),
            web.post("/runners/{pipeline}/{model:[^/]+(?:/[^/]+)*}/{again}", self._run),
            web.get("/health", self._health),
            web.get("/version", self._version),
            web.get("/hardware/info", self._hardware),
            web.get("/runners/{pipeline}/{model:[^/]+(?:/[^/]+)*}/health", self._health),
            web.get("/runners/{pipeline}/{model:[^/]+(?:/[^/]+)*}/version", self._version),
            web.get("/runners/{pipeline}/{model:[^/]+(?:/[^/]+)*}/hardware/info", self._hardware),
        ]

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "OK"})

    async def _version(self, request: web.Request) -> web.Response:
        target = self._named(request)
        if target is None:
            return _several()
        versions = {
            offer.version
            for worker in self._jobs.dispatcher.workers
            if (offer := worker.offers.get(target)) is not None and offer.version
        }
        return web.json_response({**_of(target), "version": oldest(versions) or "0.0.0"})

    async def _hardware(self, request: web.Request) -> web.Response:
        """Without GPUs: they are the workers', and what those say of them are claims."""
        target = self._named(request)
        return _several() if target is None else web.json_response({**_of(target), "gpu_info": {}})

    def _named(self, request: web.Request) -> Target | None:
        """What a runner's own routes speak of: the URL's model, or the one that there is. `None`:
        there are several. An orchestrator then goes by the model that its file names."""
        if "model" in request.match_info:
            named = request.match_info
            found = next((each for each in FORMS if each == named["pipeline"]), None)
            return None if found is None else Target(found, named["model"])
        targets = [entry.target for entry in self._models()]
        return targets[0] if len(targets) == 1 else None

    async def _run(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("again") or request.path.removeprefix("/")
        if (refusal := self._unauthorized(request)) is not None:
            return refusal
        if request.match_info.get("pipeline") not in (None, name):
            return _no_pipeline(name)
        return await self.perform(request, name, request.match_info.get("model"))

    async def perform(
        self, request: web.Request, name: str, model: str | None, door: Door = RUNNER
    ) -> web.StreamResponse:
        """A request of a pipeline, done; `model`: the only one it may ask for, and need not name.

        Whether its sender may ask is the caller's to see.
        """
        pipeline = next((each for each in FORMS if each.value == name), None)
        if pipeline is None:
            return _no_pipeline(name)
        try:
            return await self._performed(request, pipeline, model, door)
        except _Refused as refused:
            return refused.answer

    async def _performed(
        self, request: web.Request, pipeline: Pipeline, model: str | None, door: Door
    ) -> web.StreamResponse:
        folder = Folder(self._spool, "job-")
        try:
            task = await _read(request, pipeline, folder, model)
            entry = self._entry(pipeline, task, model)
            session = session_of(pipeline, task.request)
            job = self._jobs.submit(
                entry.target, task, folder, entry.seconds, session, caller=request.remote
            )
            try:
                return await self._wait(request, job, door)
            finally:
                self._jobs.cancel(job)
                if task.file is not None:
                    self._inputs.withdraw(task.file)
        finally:
            folder.remove()

    def _unauthorized(self, request: web.Request) -> web.Response | None:
        if bears(request, self._token()):
            return None
        return _error(401, "Invalid bearer token.")

    def _entry(self, pipeline: Pipeline, task: Input, only: str | None) -> ModelEntry:
        model = model_of(pipeline, task.request)
        taken = {entry.target: entry for entry in self._models()}
        entry = taken.get(Target(pipeline, model))
        if entry is None or only not in (None, model):
            raise _Refused(_error(400, f"model {model!r} is not offered for {pipeline}"[:400]))
        return entry

    async def _wait(self, request: web.Request, job: Job, door: Door) -> web.StreamResponse:
        try:
            result = await job.result
        except TaskFailedError as error:
            full = error.ending is Ending.TIMED_OUT and "room" in error.words
            return _error(door.full_status, FULL) if full else _error(500, str(error))
        if isinstance(result, Events):
            kept = None if door.as_it_comes else StockEvents().feed
            return await stream(request, result, door.last_event, kept)
        if not door.as_it_comes and job.input.request.get("stream") and not choices(result.body):
            return _error(500, "the worker's answer has no choices")
        return await whole(request, result)


def _of(target: Target) -> dict[str, object]:
    return {"pipeline": target.pipeline.value, "model_id": target.model}


def _several() -> web.Response:
    return _error(404, "no such model, or several: ask /runners/PIPELINE/MODEL")


def bears(request: web.Request, token: str | None) -> bool:
    """Whether a request comes with a token; with any, where there is none to come with."""
    given = request.headers.get("Authorization", "")
    return not token or same(f"Bearer {token}", given)


async def _read(
    request: web.Request, pipeline: Pipeline, folder: Folder, model: str | None
) -> Input:
    try:
        return await read(request, pipeline, folder, model)
    except BadRequestError as error:
        detail = [{"loc": ["body", error.field], "msg": error.message, "type": "value_error"}]
        raise _Refused(web.json_response({"detail": detail}, status=422)) from error
    except UNREADABLE as error:
        said = f"the request cannot be read: {type(error).__name__}"
        raise _Refused(_error(400, said)) from error


async def stream(
    request: web.Request,
    events: Events,
    last_event: bytes = b"",
    kept: Callable[[bytes], bytes] | None = None,
) -> web.StreamResponse:
    """An event stream as it comes, and `last_event` if it does not end so; cut off where the rest
    will never come. `kept`: what of it is passed on."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    end = b""
    try:
        while (chunk := await events.get()) is not None:
            end = (end + chunk)[-len(last_event) :] if last_event else b""
            await response.write(chunk if kept is None else kept(chunk))
        if end != last_event:
            await response.write(last_event)
    except TaskFailedError:
        # An end that is none: the caller sees that the rest is missing.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


async def whole(request: web.Request, result: Whole) -> web.StreamResponse:
    """The JSON with its files in it, as data URLs, never whole in memory."""
    if not result.files:
        return web.json_response(result.body)
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    async for chunk in rendered(result):
        await response.write(chunk)
    await response.write_eof()
    return response


async def rendered(result: Whole) -> AsyncIterator[bytes]:
    """The JSON with its files in it, as data URLs, a bit at a time."""
    for piece in _pieces(result.body, result.files):
        if isinstance(piece, str):
            yield piece.encode()
            continue
        async for chunk in _encoded(piece):
            yield chunk


def _pieces(body: Mapping[str, object], files: Mapping[str, Path]) -> Iterable[str | Path]:
    """JSON text, cut where a file goes."""
    text = json.dumps(body, separators=(",", ":"))
    names = sorted(files, key=lambda name: text.find(f'"{name}"'))
    for name in names:
        before, found, text = text.partition(f'"{name}"')
        if not found:
            text = before
            continue
        yield f'{before}"data:{_TYPES.get(Path(name).suffix, "application/octet-stream")};base64,'
        yield files[name]
        text = '"' + text
    yield text


async def _encoded(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield base64.b64encode(chunk)
            await asyncio.sleep(0)


def _no_pipeline(name: str) -> web.Response:
    return _error(400, f"there is no pipeline {name!r}"[:200])


def _error(status: int, words: str) -> web.Response:
    return web.json_response({"detail": {"msg": words}}, status=status)

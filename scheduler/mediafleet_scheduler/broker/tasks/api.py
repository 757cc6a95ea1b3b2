"""Routes of the JSON API: submit a task, see how it stands, read its result or events, cancel it.

The same queue and the same choice as the runner API. A task here outlives its caller's connection;
its result is kept for a while, and read as often as is wanted, but for event streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol

import aiohttp
from aiohttp import web
from pydantic import ValidationError

from mediafleet_common.serving.access import LoopbackOnly, Refusal, bearer, same
from mediafleet_scheduler.broker.inputs import Folder
from mediafleet_scheduler.broker.jobs import Events, Input, Result, TaskFailedError
from mediafleet_scheduler.broker.models import ModelEntry
from mediafleet_scheduler.broker.requests import UNREADABLE, save, text, whole_body, with_file
from mediafleet_scheduler.broker.runner_api import stream, whole
from mediafleet_scheduler.broker.tasks import openapi
from mediafleet_scheduler.broker.tasks.kept import Kept, KeptTasks
from mediafleet_scheduler.broker.tasks.messages import MOST_WAIT_SECONDS, Submission, Task
from mediafleet_scheduler.broker.tasks.problems import (
    ProblemError,
    of_ending,
    of_validation,
    unknown_task,
)
from mediafleet_scheduler.core.workers.foreign import read_json
from mediafleet_scheduler.core.workers.pipelines import (
    FORMS,
    BadRequestError,
    check,
    model_of,
    session_of,
)
from mediafleet_scheduler.core.workers.views import Target

_LOOPBACK: Final = LoopbackOnly()
_HOW: Final = "send JSON, or multipart/form-data with parts `task` (the same JSON) and `file`"

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Elsewhere(Protocol):
    """Answers for tasks that are not here."""

    async def state(self, name: str) -> Task: ...

    async def result(self, name: str, seconds: float) -> web.StreamResponse | Task: ...

    async def drop(self, name: str) -> None: ...


class Nowhere:
    """There is one broker: what is not here is unknown."""

    async def state(self, name: str) -> Task:
        """Raises ProblemError."""
        raise unknown_task()

    async def result(self, name: str, seconds: float) -> web.StreamResponse | Task:
        """Raises ProblemError."""
        raise unknown_task()

    async def drop(self, name: str) -> None:
        """Raises ProblemError."""
        raise unknown_task()


_Put = Callable[[Kept, float, str | None], Awaitable[None]]


async def _put_nowhere(kept: Kept, seconds: float, session: str | None) -> None:
    pass


class TaskApi:
    """`tokens` are what callers come with; `None`: this machine alone may call. `put` is awaited
    before a task that came is acknowledged."""

    def __init__(
        self,
        tasks: KeptTasks,
        models: Callable[[], Iterable[ModelEntry]],
        tokens: Callable[[], list[str]] | None,
        elsewhere: Elsewhere | None = None,
        put: _Put = _put_nowhere,
    ) -> None:
        self._elsewhere = elsewhere or Nowhere()
        self._put = put
        self._tasks = tasks
        self._models = models
        self._tokens = tokens

    def routes(self) -> list[web.RouteDef]:
        """To be served on the HTTP port."""
        return [
            web.post("/v1/tasks", self._guarded(self._submit)),
            web.get("/v1/tasks/{id}", self._guarded(self._state)),
            web.get("/v1/tasks/{id}/result", self._guarded(self._result)),
            web.get("/v1/tasks/{id}/events", self._guarded(self._events)),
            web.delete("/v1/tasks/{id}", self._guarded(self._delete)),
            web.get("/v1/openapi.json", _document),
            web.get("/v1/", _page),
        ]

    def _guarded(self, handle: _Handler) -> _Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                self._authorize(request)
                return await handle(request)
            except ProblemError as error:
                return error.answer()

        return answer

    def _authorize(self, request: web.Request) -> None:
        if self._tokens is None:
            if isinstance(_LOOPBACK.admit(request), Refusal):
                fix = "start the broker with --api-token-file FILE"
                raise ProblemError(403, "forbidden", "tasks are taken from loopback alone", fix)
            return
        given, found = bearer(request) or "", False
        for each in self._tokens():
            found |= same(each, given)
        if not found:
            fix = "send `Authorization: Bearer TOKEN` with a line of the broker's --api-token-file"
            raise ProblemError(401, "unauthorized", "no token, or none of ours", fix)

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        folder = self._tasks.folder()
        try:
            kept = await self._submitted(request, folder)
        except BadRequestError as error:
            folder.remove()
            raise _of_bad_request(error) from error
        except BaseException:
            folder.remove()
            raise
        where = {"Location": f"/v1/tasks/{kept.job.id}"}
        return web.json_response(self._as_json(kept), status=202, headers=where)

    async def _submitted(self, request: web.Request, folder: Folder) -> Kept:
        submission, file = await _read(request, folder)
        try:
            entry, task = self._entry(submission), _input(submission, file)
        except BadRequestError as error:
            is_file = error.field == FORMS[submission.pipeline].file_field
            field = "file" if is_file else f"request.{error.field}"
            raise BadRequestError(field, error.message) from error
        seconds = min(entry.seconds, submission.timeout_seconds or entry.seconds)
        session = submission.session or session_of(submission.pipeline, submission.request)
        kept = self._tasks.submit(entry.target, task, folder, seconds, session)
        await self._put(kept, seconds, session)
        return kept

    def _entry(self, submission: Submission) -> ModelEntry:
        wanted = Target(submission.pipeline, model_of(submission.pipeline, submission.request))
        taken = {each.target: each for each in self._models()}
        if wanted in taken:
            return taken[wanted]
        some = ", ".join(sorted(str(each) for each in taken))[:400]
        field = f"request.{FORMS[wanted.pipeline].model_field}"
        said = f"{wanted} is not offered"[:400]
        raise ProblemError(422, "unknown_model", said, f"ask for one of {some}", field)

    def _as_json(self, kept: Kept) -> object:
        return self._tasks.state(kept).model_dump(mode="json")

    async def _state(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["id"]
        if (kept := self._tasks.get(name)) is not None:
            return _json(self._tasks.state(kept))
        return _json(await self._elsewhere.state(name))

    async def _result(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["id"]
        if (kept := self._tasks.get(name)) is None:
            await self._elsewhere.state(name)
        seconds = _wait(request)
        if kept is not None:
            await asyncio.wait({kept.settled}, timeout=seconds)
        if kept is None or kept.moved:
            answer = await self._elsewhere.result(name, seconds)
            return _not_yet(answer) if isinstance(answer, Task) else answer
        if not kept.settled.done():
            return _not_yet(self._tasks.state(kept))
        result = _made(kept)
        if isinstance(result, Events):
            fix = f"GET /v1/tasks/{kept.job.id}/events"
            raise ProblemError(409, "streams", "the result is a stream of events", fix)
        return await whole(request, result)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["id"]
        if (kept := self._tasks.get(name)) is not None:
            await asyncio.wait({kept.settled})
        if kept is None or kept.moved:
            await self._elsewhere.state(name)
            fix = "ask again until the broker that has it answers"
            raise ProblemError(409, "elsewhere", "the events are at another broker", fix)
        result = _made(kept)
        if not isinstance(result, Events):
            fix = f"GET /v1/tasks/{kept.job.id}/result"
            raise ProblemError(409, "streams_not", "the result is not a stream of events", fix)
        if kept.read:
            fix = "submit it again: events are passed on once"
            raise ProblemError(409, "read_already", "somebody has read these events", fix)
        kept.read = True
        return await stream(request, result)

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["id"]
        if (kept := self._tasks.get(name)) is not None:
            self._tasks.drop(kept)
        if kept is None or kept.version is not None:
            await self._elsewhere.drop(name)
        return web.Response(status=204)


def _input(submission: Submission, file: Path | None) -> Input:
    pipeline, fields = submission.pipeline, submission.request
    if FORMS[pipeline].file_field is not None:
        return with_file(pipeline, fields, file)
    if file is not None:
        raise ProblemError(422, "invalid", f"{pipeline} takes no file", "leave it out", "file")
    check(pipeline, fields)
    return Input(fields)


def _json(task: Task, status: int = 200) -> web.Response:
    return web.json_response(task.model_dump(mode="json"), status=status)


def _not_yet(task: Task) -> web.Response:
    answer = _json(task, 202)
    answer.headers["Retry-After"] = "1"
    return answer


def _made(kept: Kept) -> Result:
    try:
        return kept.job.result.result()
    except TaskFailedError as error:
        raise of_ending(error.ending, error.words) from error


def _wait(request: web.Request) -> float:
    given = request.query.get("wait", "0")
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MOST_WAIT_SECONDS:
        fix = f"give seconds from 0 to {MOST_WAIT_SECONDS:g}"
        raise ProblemError(422, "invalid", "wait must be a time", fix, "wait")
    return seconds


async def _read(request: web.Request, folder: Folder) -> tuple[Submission, Path | None]:
    file: Path | None = None
    try:
        if request.content_type == "application/json":
            body = await whole_body(request)
        elif request.content_type == "multipart/form-data":
            body, file = await _form(request, folder)
        else:
            said = f"Content-Type {request.content_type} is not taken"
            raise ProblemError(415, "unreadable", said, _HOW, "Content-Type")
        fields = read_json(body)
    except BadRequestError:
        raise
    except UNREADABLE as error:
        said = f"the body cannot be read: {type(error).__name__}"
        raise ProblemError(400, "unreadable", said, _HOW, "body") from error
    if not isinstance(fields, Mapping):
        raise ProblemError(422, "invalid", "must be a JSON object", _HOW, "body")
    try:
        return Submission.model_validate(fields), file
    except ValidationError as error:
        raise of_validation(error) from error


async def _form(request: web.Request, folder: Folder) -> tuple[bytes, Path | None]:
    task: str | None = None
    file: Path | None = None
    async for part in await request.multipart():
        name = part.name if isinstance(part, aiohttp.BodyPartReader) else None
        if not isinstance(part, aiohttp.BodyPartReader) or name not in ("task", "file"):
            raise BadRequestError(str(name)[:100], "is no part of a task: send `task` and `file`")
        if name == "task" and task is None:
            task = await text(part, name)
        elif name == "file" and file is None:
            file = await save(part, folder.file("input"))
        else:
            raise BadRequestError(str(name), "is there twice")
    if task is None:
        raise BadRequestError("task", "is missing: the JSON of the task")
    return task.encode(), file


def _of_bad_request(error: BadRequestError) -> ProblemError:
    too_long = error.message.startswith("is longer")
    message, _, fix = error.message.partition(": ")
    return ProblemError(
        413 if too_long else 422,
        "too_long" if too_long else "invalid",
        message,
        fix or ("send less" if too_long else "see /v1/openapi.json"),
        error.field,
    )


async def _document(_: web.Request) -> web.StreamResponse:
    return web.json_response(openapi.document())


async def _page(_: web.Request) -> web.StreamResponse:
    return web.Response(text=openapi.page(), content_type="text/html")

"""The ai-runner containers that a worker has, and one job on one of them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from mediafleet_scheduler.core.workers.pipelines import FORMS, WORKER_SECONDS, Pipeline
from mediafleet_scheduler.core.workers.views import Target

_HEALTH_SECONDS: Final = 1.0
"""Between two questions whether a runner answers."""
_MOST_ANSWER: Final = 512 * 1024 * 1024
_DATA_URL: Final = re.compile(r"data:([a-z]+)/([a-z0-9]+);base64,")
_MODEL: Final = re.compile(r"([^*]{1,256})(?:\*([1-9]\d{0,3}))?")
_SUFFIXES: Final = {
    "image/png": "png",
    "video/mp4": "mp4",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
}

_log: Final = logging.getLogger(__name__)


class RunnerError(Exception):
    """A runner did not do a job; the text is what the broker receives."""


class BadRunnerError(ValueError):
    """A --runner that makes no sense; the text says how it is written."""


@dataclass(frozen=True, slots=True)
class Runner:
    """One model behind one runner's URL."""

    target: Target
    url: str
    capacity: int = 1
    warm: bool = True
    """Whether the model is loaded."""
    itself: str | None = None
    """URL of the runner itself, where tasks go there through something else."""

    @property
    def about(self) -> str:
        """Where it says what it is."""
        return self.itself or self.url


@dataclass(frozen=True, slots=True)
class Answer:
    """What a runner made of a job: JSON, and the files that it names."""

    body: Mapping[str, Any]
    files: Mapping[str, tuple[str, bytes]]
    """Media type and bytes by name."""


def runner_of(text: str) -> Runner:
    """`PIPELINE/MODEL=URL`, or `PIPELINE/MODEL*CAPACITY=URL`.

    Raises:
        BadRunnerError: it is not.
    """
    how = f"{text!r} is not PIPELINE/MODEL=URL or PIPELINE/MODEL*CAPACITY=URL"
    what, equals, url = text.partition("=http")
    name, _, model = what.partition("/")
    found = _MODEL.fullmatch(model)
    try:
        pipeline = Pipeline(name)
    except ValueError:
        known = ", ".join(Pipeline)
        raise BadRunnerError(f"{how}: the pipeline is one of {known}") from None
    if not equals or found is None or not urlsplit(f"http{url}").hostname:
        raise BadRunnerError(how)
    return Runner(Target(pipeline, found[1]), f"http{url}".rstrip("/"), int(found[2] or 1))


class Runners:
    """Asks runners. `token` goes along as a bearer token, if there is one."""

    def __init__(self, session: aiohttp.ClientSession, token: str | None = None) -> None:
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def answer(self, runners: Iterable[Runner]) -> None:
        """Wait until all of them answer /health."""
        waiting = {runner.url for runner in runners}
        while waiting:
            for url in sorted(waiting):
                if await self._is_healthy(url):
                    waiting.discard(url)
            if waiting:
                _log.info("waiting for %s", ", ".join(sorted(waiting)))
                await asyncio.sleep(_HEALTH_SECONDS)

    async def _is_healthy(self, url: str) -> bool:
        limit = aiohttp.ClientTimeout(total=_HEALTH_SECONDS * 5)
        try:
            async with self._session.get(
                f"{url}/health", headers=self._headers, timeout=limit
            ) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    @asynccontextmanager
    async def run(
        self, runner: Runner, request: Mapping[str, Any], file: bytes | None
    ) -> AsyncIterator[Answer | AsyncIterator[bytes]]:
        """A job's answer, or its event stream.

        Raises:
            RunnerError: it has none.
        """
        pipeline = runner.target.pipeline
        url = f"{runner.url}/{pipeline}"
        field = FORMS[pipeline].file_field
        more: dict[str, Any] = {"json": dict(request)}
        if field is not None:
            more = {"data": _form(request, field, file or b"")}
        limit = aiohttp.ClientTimeout(total=WORKER_SECONDS, sock_connect=5.0)
        try:
            async with self._session.post(
                url, headers=self._headers, timeout=limit, **more
            ) as response:
                if response.status != 200:
                    raise RunnerError(_reason(response.status, await response.text()))
                if response.content_type == "text/event-stream":
                    yield response.content.iter_any()
                    return
                yield await _answer(response)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            said = str(error) or type(error).__name__
            raise RunnerError(f"the runner of {runner.target} does not answer: {said}") from error


def _form(request: Mapping[str, Any], file_field: str, file: bytes) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field(file_field, file, filename=file_field)
    for name, value in request.items():
        if value is not None and name != file_field:
            text = value if isinstance(value, str) else json.dumps(value)
            form.add_field(name, text)
    return form


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    text = bytearray()
    async for chunk in response.content.iter_any():
        text += chunk
        if len(text) > _MOST_ANSWER:
            raise RunnerError(f"the runner's answer is longer than {_MOST_ANSWER} bytes")
    body = json.loads(text)
    if not isinstance(body, dict):
        raise RunnerError("the runner's answer is no JSON object")
    files: dict[str, tuple[str, bytes]] = {}
    return Answer(_without_files(body, files), files)


def _without_files(value: Any, files: dict[str, tuple[str, bytes]]) -> Any:
    """The same, with a file's name in place of each data URL."""
    if isinstance(value, dict):
        return {key: _without_files(each, files) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_files(each, files) for each in value]
    found = _DATA_URL.match(value) if isinstance(value, str) else None
    if found is None:
        return value
    media = f"{found[1]}/{found[2]}"
    name = f"{len(files):08x}.{_SUFFIXES.get(media, 'bin')}"
    try:
        files[name] = (media, base64.b64decode(value[found.end() :], validate=True))
    except binascii.Error as error:
        raise RunnerError("the runner's answer holds a data URL that is none") from error
    return name


def _reason(status: int, text: str) -> str:
    try:
        detail = json.loads(text)["detail"]
        said = detail["msg"] if isinstance(detail, dict) else json.dumps(detail)
    except (ValueError, KeyError, TypeError):
        said = text
    return f"HTTP {status}: {said[:500]}"

"""A worker's HTTP calls of a broker: a job's input, and its result.

Wire: go-livepeer server/ai_worker.go.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from mediafleet_common.back_off import BackOff
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.worker.brokers import Place
from mediafleet_scheduler.worker.runners import Answer, RunnerError
from mediafleet_scheduler.worker.times import Times

_SCHEME: Final = "Livepeer-AI-Worker-1.0"
_MOST_INPUT: Final = 300 * 1024 * 1024
_ATTEMPTS: Final = 4
"""To post a whole result."""
_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 2.0

_log: Final = logging.getLogger(__name__)


async def fetched(
    session: aiohttp.ClientSession, url: str, server_name: str | None, times: Times
) -> bytes:
    """A job's input.

    Raises:
        RunnerError: it cannot be had.
    """
    limit = aiohttp.ClientTimeout(total=times.input_seconds)
    body = bytearray()
    try:
        async with session.get(
            url, timeout=limit, allow_redirects=False, server_hostname=server_name
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
class Post:
    """Where the result of one job goes.

    A whole result whose connection ends is posted again: it may never have arrived, and then the
    broker holds the job's place for it as long as this worker is there. If it had, nobody waits for
    the second one, and the broker throws it away by the job's number. A stream is posted once: what
    it held is gone.
    """

    session: aiohttp.ClientSession
    secret: Callable[[], str]
    times: Times
    place: Place
    task: int
    pipeline: str

    async def error(self, words: str) -> None:
        """It failed."""
        _log.info("a job of %s: %s", self.pipeline, printable(words))
        await self._send(lambda: words.encode(), "livepeer/ai-worker-error", _ATTEMPTS)

    async def events(self, events: AsyncIterator[bytes]) -> None:
        """An LLM's words, as they come."""
        await self._send(lambda: events, "text/event-stream", 1)

    async def answer(self, answer: Answer) -> None:
        """The runner's answer, and its files."""
        boundary = secrets.token_hex(16)
        media = _parts(answer, boundary).content_type
        await self._send(lambda: _parts(answer, boundary), media, _ATTEMPTS)

    async def _send(self, body: Callable[[], Any], media: str, attempts: int) -> None:
        """Post it, so many times at the most; each time `body` makes it anew."""
        back_off = BackOff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        for left in reversed(range(attempts)):
            try:
                await self._post(body(), media)
            except (aiohttp.ClientError, TimeoutError) as error:
                _log.warning("a result was lost: %s", error or type(error).__name__)
                if isinstance(error, TimeoutError) or not left:
                    return
            else:
                return
            await asyncio.sleep(back_off.pause())

    async def _post(self, body: Any, media: str) -> None:
        headers = {
            "Authorization": _SCHEME,
            "Credentials": self.secret(),
            "TaskId": str(self.task),
            "Pipeline": self.pipeline,
            "Content-Type": media,
        }
        limit = aiohttp.ClientTimeout(total=self.times.post_seconds)
        url, name = f"https://{self.place.address}/aiResults", self.place.other_name
        async with self.session.post(
            url, data=body, headers=headers, timeout=limit, server_hostname=name
        ) as response:
            if response.status != 200:
                said = printable((await response.text())[:200])
                _log.warning("a result was refused: HTTP %d: %s", response.status, said)


def _parts(answer: Answer, boundary: str) -> aiohttp.MultipartWriter:
    """An answer as it is posted."""
    parts = aiohttp.MultipartWriter("mixed", boundary)
    for name, (media, content) in answer.files.items():
        part = parts.append(content, {"Content-Type": media})
        part.set_content_disposition("attachment", filename=name)
    parts.append(json.dumps(answer.body).encode(), {"Content-Type": "application/json"})
    return parts

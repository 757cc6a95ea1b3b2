"""A worker's HTTP calls of a broker: a job's input, and its result.

Wire: go-livepeer server/ai_worker.go.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
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
_AWAY: Final = (502, 503)
"""By these a broker says that it is not there, or that the task's own broker is not."""
_CONNECT_SECONDS: Final = 5.0
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

    A whole result whose connection ends is posted again, in turn to the job's broker and to the
    others at which this worker stands: it may never have arrived, and then a broker waits for it,
    which may be another one by now. If it had, nobody waits for the second one, and it is thrown
    away by the job's number. A stream is posted once: what it held is gone.
    """

    session: aiohttp.ClientSession
    secret: Callable[[], str]
    times: Times
    place: Place
    task: int
    pipeline: str
    others: Callable[[], Sequence[Place]] = tuple

    async def error(self, words: str) -> None:
        """It failed."""
        _log.info("a job of %s: %s", self.pipeline, printable(words))
        await self._send(lambda: words.encode(), "livepeer/ai-worker-error")

    async def events(self, events: AsyncIterator[bytes]) -> None:
        """An LLM's words, as they come."""
        await self._send(lambda: events, "text/event-stream", once=True)

    async def answer(self, answer: Answer) -> None:
        """The runner's answer, and its files."""
        boundary = secrets.token_hex(16)
        media = _parts(answer, boundary).content_type
        await self._send(lambda: _parts(answer, boundary), media)

    async def _send(self, body: Callable[[], Any], media: str, *, once: bool = False) -> None:
        """Post it, and again while nobody has it; each time `body` makes it anew."""
        back_off = BackOff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        clock = asyncio.get_running_loop().time
        until = clock() + self.times.post_again_seconds
        for number in itertools.count():
            try:
                arrived = await self._post(self._turn(number), body(), media)
            except aiohttp.ConnectionTimeoutError as error:
                _log.warning("a result is not posted yet: %s", error)
            except (aiohttp.ClientError, TimeoutError) as error:
                _log.warning("a result was lost: %s", str(error) or type(error).__name__)
                if isinstance(error, TimeoutError):
                    return
            else:
                if arrived:
                    return
            if once or clock() >= until:
                return
            await asyncio.sleep(back_off.pause())

    def _turn(self, number: int) -> Place:
        """Where it is posted the next time: each second time at the job's broker."""
        others = self.others()
        return others[number // 2 % len(others)] if number % 2 and others else self.place

    async def _post(self, place: Place, body: Any, media: str) -> bool:
        """Whether a broker has it, or will never."""
        headers = {
            "Authorization": _SCHEME,
            "Credentials": self.secret(),
            "TaskId": str(self.task),
            "Pipeline": self.pipeline,
            "Content-Type": media,
        }
        limit = aiohttp.ClientTimeout(total=self.times.post_seconds, sock_connect=_CONNECT_SECONDS)
        url, name = f"https://{place.address}/aiResults", place.other_name
        async with self.session.post(
            url, data=body, headers=headers, timeout=limit, server_hostname=name
        ) as response:
            if response.status != 200:
                said = printable((await response.text())[:200])
                _log.warning("a result was refused: HTTP %d: %s", response.status, said)
            return response.status not in _AWAY


def _parts(answer: Answer, boundary: str) -> aiohttp.MultipartWriter:
    """An answer as it is posted."""
    parts = aiohttp.MultipartWriter("mixed", boundary)
    for name, (media, content) in answer.files.items():
        part = parts.append(content, {"Content-Type": media})
        part.set_content_disposition("attachment", filename=name)
    parts.append(json.dumps(answer.body).encode(), {"Content-Type": "application/json"})
    return parts

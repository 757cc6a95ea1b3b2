"""What a page shows, sent to each browser that looks as soon as it changes (server-sent events).

It is read only while somebody looks, once for all who do. A stream ends after a few minutes: the
browser opens the next one by itself, and who may no longer look is refused then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from aiohttp import web

from mediafleet_common.pages.files import HEADERS

Read = Callable[[], bytes | None]
"""The text of what is shown now; `None`: it is not known yet. Never blocks."""

LOOK_SECONDS: Final = 0.5
_SHARE: Final = 10
"""Reading takes at most one part in so many of the time."""
_ALIVE_SECONDS: Final = 10.0
_STREAM_SECONDS: Final = 300.0
MOST_LISTENERS: Final = 100
_UNKNOWN: Final = "it is not known yet"


class Feed:
    """One page's content, for those who look."""

    def __init__(
        self, read: Read, most: int = MOST_LISTENERS, stream_seconds: float = _STREAM_SECONDS
    ) -> None:
        self._read = read
        self._most = most
        self._stream_seconds = stream_seconds
        self._listeners = 0
        self._looking: asyncio.Task[None] | None = None
        self._body: bytes | None = None
        self._changed = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        """`/ui/data`, the content, and `/ui/events`, the content at each change."""
        return [web.get("/ui/data", self._data), web.get("/ui/events", self._events)]

    async def _data(self, _: web.Request) -> web.Response:
        body = self._read()
        if body is None:
            return web.Response(status=503, text=_UNKNOWN, headers=HEADERS)
        return web.Response(body=body, content_type="application/json", headers=HEADERS)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._listeners >= self._most:
            return web.Response(status=503, text="too many browsers look already", headers=HEADERS)
        async with self._listening():
            if self._body is None:
                return web.Response(status=503, text=_UNKNOWN, headers=HEADERS)
            response = web.StreamResponse(
                headers={**HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
            )
            await response.prepare(request)
            # A browser that has gone is found by the write that fails.
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(self._stream_seconds):
                    await self._tell(response)
            return response

    async def _tell(self, response: web.StreamResponse) -> None:
        told: bytes | None = None
        while True:
            body = self._body
            # What is not known any more stays as it is; whoever comes next is refused.
            news = body if body is not told else None
            await response.write(b"data: %b\n\n" % news if news else b": alive\n\n")
            told = body
            if self._body is told:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_ALIVE_SECONDS):
                        await self._changed.wait()

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        self._listeners += 1
        if self._looking is None:
            self._body = self._read()
            self._looking = asyncio.create_task(self._look(), name="page")
        try:
            yield
        finally:
            self._listeners -= 1
            if not self._listeners and self._looking is not None:
                self._looking.cancel()
                self._looking, self._body = None, None

    async def _look(self) -> None:
        while True:
            began = time.thread_time()
            body = self._read()
            cost = time.thread_time() - began
            if body != self._body:
                self._body = body
                self._changed.set()
                self._changed = asyncio.Event()
            await asyncio.sleep(max(LOOK_SECONDS, cost * _SHARE))

"""The page of the world map: files that lie beside this one, and events that keep it fresh."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from mediafleet_common.clock import SYSTEM
from mediafleet_common.pages.files import HEADERS, file_route
from mediafleet_common.serving.access import Access
from mediafleet_common.serving.http import HttpServer
from mediafleet_scheduler.community.collector import Collector
from mediafleet_scheduler.community.visitors import Visitors
from mediafleet_scheduler.community.weeks.archive import Archive, AwayError

_ASSETS: Final = Path(__file__).parent / "assets"
_FILES: Final = {
    "/": "map.html",
    "/map.js": "map.js",
    "/map.css": "map.css",
    "/land.svg": "land.svg",
}
MOST_LISTENERS: Final = 200
_ALIVE_SECONDS: Final = 15.0
_MOST_FORGET_BYTES: Final = 4096
_Read = Callable[[Archive, Collection[str]], Awaitable[dict[str, Any] | None]]


class MapPage:
    """The routes of a collector."""

    def __init__(self, collector: Collector, most_listeners: int = MOST_LISTENERS) -> None:
        self._collector = collector
        self._free = most_listeners

    def routes(self) -> list[web.RouteDef]:
        """For anybody: the page, `/view` (JSON), `/events`, `POST /forget`, and of a store
        `/day/2026-11-29` and `/weeks`."""
        files = [file_route(path, _ASSETS / name) for path, name in _FILES.items()]
        return [
            *files,
            web.get("/view", self._view),
            web.get("/events", self._events),
            web.post("/forget", self._forget),
            web.get("/day/{day}", self._day),
            web.get("/weeks", self._weeks),
        ]

    def detail_route(self) -> web.RouteDef:
        """`GET /operators`: each operator by itself."""

        async def operators(_: web.Request) -> web.Response:
            return web.json_response(self._collector.operators())

        return web.get("/operators", operators)

    async def _view(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._collector.view, content_type="application/json", headers=HEADERS
        )

    async def _day(self, request: web.Request) -> web.Response:
        day = request.match_info["day"]
        return await self._kept(lambda archive, marked: archive.day(day, marked))

    async def _weeks(self, _: web.Request) -> web.Response:
        return await self._kept(lambda archive, marked: archive.weeks(marked))

    async def _kept(self, read: _Read) -> web.Response:
        """What the store has; who is marked is in no sum of it."""
        archive = self._collector.archive
        if archive is None:
            return _answer(404, "this collector keeps no weeks")
        try:
            found = await read(archive, self._collector.payouts.marked)
        except AwayError as error:
            return _answer(503, str(error))
        if found is None:
            return _answer(404, "no day that is kept")
        return web.json_response({**self._collector.shown_beside(), **found}, headers=HEADERS)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        async with self._listener() as admitted:
            if not admitted:
                return web.Response(status=503, text="too many listeners", headers=HEADERS)
            response = web.StreamResponse(
                headers={**HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
            )
            await response.prepare(request)
            sent = b""
            # A browser that has gone is found by the write that fails.
            with suppress(ConnectionError):
                while True:
                    view = self._collector.view
                    await response.write(b": alive\n\n" if view == sent else b"data: %b\n\n" % view)
                    sent = view
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_ALIVE_SECONDS):
                            await self._collector.changed()
            return response

    @asynccontextmanager
    async def _listener(self) -> AsyncIterator[bool]:
        if self._free <= 0:
            yield False
            return
        self._free -= 1
        try:
            yield True
        finally:
            self._free += 1

    async def _forget(self, request: web.Request) -> web.Response:
        """Asks the operator at once; who has left says so itself, and needs no password for it."""
        try:
            body = json.loads((await request.content.read(_MOST_FORGET_BYTES)).decode())
            target = await self._collector.look_again(str(body["target"]))
        except (ValueError, KeyError, TypeError):
            return _answer(400, 'give {"target": URL}')
        except AwayError as error:
            return _answer(503, str(error))
        if target is None:
            return _answer(404, "not among those that are asked, and nothing of it is kept")
        if target.summary is not None:
            return _answer(409, "it still shares: leave there first")
        if self._collector.archive is not None and not target.left:
            return _answer(409, f"it does not say that it has left: {target.refused}")
        if self._collector.archive is not None and not target.deleted:
            return _answer(503, "not yet deleted: the store does not answer; it is asked again")
        return _answer(200, "deleted: nothing of it is kept")


async def serve(
    collector: Collector,
    listen: str,
    access: Access,
    stop: asyncio.Event,
    on_ready: Callable[[int], None],
    invitations: Path | None = None,
) -> None:
    """Collect and show until `stop` is set; `on_ready` is called once, with the port.

    `invitations`: file of those who may see detail while they share, beside those who sign in.

    Raises:
        CannotStartError: the port cannot be listened on.
    """
    page = MapPage(collector)
    http = HttpServer(
        listen,
        lambda: "stopping" if stop.is_set() else None,
        routes=[*page.routes(), *Visitors(collector, SYSTEM, invitations).routes()],
        reports=[page.detail_route()],
        access=access,
    )
    async with http, asyncio.TaskGroup() as tasks:
        collecting = tasks.create_task(collector.run())
        on_ready(http.port)
        await stop.wait()
        collecting.cancel()


def _answer(status: int, text: str) -> web.Response:
    return web.json_response({"message": text}, status=status, headers=HEADERS)

"""What an operator shares, over HTTP: `/summary`, `/metrics/community`, and what became of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.formats.times import rfc3339
from mediafleet_common.pages.files import HEADERS
from mediafleet_common.probes.http_client import FetchError, client, fetch
from mediafleet_scheduler.community.public import HTML, wants_html
from mediafleet_scheduler.community.reporter import Reporter
from mediafleet_scheduler.core.community.delivery import deliveries
from mediafleet_scheduler.core.community.pages.summary import as_html
from mediafleet_scheduler.core.community.publishing import HourRecord
from mediafleet_scheduler.core.community.rendering import (
    VERSION,
    Shared,
    as_json,
    as_prometheus,
)

_LEFT: Final = {"version": VERSION, "left": True}


RELAY: Final = "mediafleet-relay"
"""User-Agent of an advertiser that shows the same pages: it is no reader."""
_SENDER_SECONDS: Final = 2.0
_MAX_SENDER_BYTES: Final = 4 * 1024 * 1024


class Pages:
    """The routes, and how often each was read."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._reads: dict[str, int] = {}
        self._read_at: dict[str, float] = {}

    def routes(self) -> list[web.RouteDef]:
        """For whoever may reach the port.

        `/summary`: JSON of the last 24 hours, or a page for a browser; `/summary/2026-11-29`: of
        one UTC day that is kept; `/metrics/community`: Prometheus. 410 and `{"left": true}` once
        the operator has left.
        """
        return [
            web.get("/summary", self._summary),
            web.get("/summary/{day}", self._day),
            web.get("/metrics/community", self._metrics),
        ]

    def status_route(self) -> web.RouteDef:
        """`GET /community/status`: what was read, and what is kept."""

        async def status(_: web.Request) -> web.Response:
            said = await asyncio.to_thread(self.status)
            return _json({**said, **await self._deliveries()})

        return web.get("/community/status", status)

    def status(self) -> dict[str, Any]:
        """Counts and times; nothing of who read."""
        mine, state = self._reporter, self._reporter.state
        share = mine.community.share
        return {
            "version": VERSION,
            "region": mine.community.region,
            "shares": [name for name, chosen in share.model_dump(by_alias=True).items() if chosen],
            "left": mine.left,
            "deletions": [
                each.model_dump(by_alias=True, exclude_none=True)
                for each in (mine.leaving.deletions if mine.leaving else ())
            ],
            "reads": {
                page: {"times": times, "last": rfc3339(self._read_at[page])}
                for page, times in sorted(self._reads.items())
            },
            "hours": _hours(list(mine.shared.hours)),
            "days": state.days() if state else [],
            "originsUnknown": mine.complaint,
            "workUntold": mine.work.untold,
            "notWritten": state.complaint if state else None,
        }

    async def _deliveries(self) -> dict[str, Any]:
        """What left and what was refused, by who sends; nothing where it does not answer."""
        sender = self._reporter.community.sender
        if sender is None or self._reporter.left:
            return {}
        try:
            async with client(reach=OWN_WORD) as session:
                body = await fetch(session, sender.url, _SENDER_SECONDS, _MAX_SENDER_BYTES)
        except FetchError:
            return {}
        sent = deliveries(body.decode("utf-8", "replace"), sender.recipients)
        return {"deliveries": [each.model_dump(by_alias=True) for each in sent]}

    async def _summary(self, request: web.Request) -> web.Response:
        make = _page if wants_html(request.headers.get("Accept", "")) else _json
        return await self._answer(request, "summary", lambda: make(as_json(self._reporter.shared)))

    async def _metrics(self, request: web.Request) -> web.Response:
        text = as_prometheus(self._reporter.shared)
        return await self._answer(request, "metrics", lambda: web.Response(text=text))

    async def _day(self, request: web.Request) -> web.Response:
        state, day = self._reporter.state, request.match_info["day"]
        hours = await asyncio.to_thread(state.day, day) if state else []
        if not hours and not self._reporter.left:
            return _json({"version": VERSION, "day": day, "kept": False}, 404)
        shared = Shared(self._reporter.community.region, None, hours)
        return await self._answer(request, "day", lambda: _json(as_json(shared)))

    async def _answer(
        self, request: web.Request, page: str, make: Callable[[], web.Response]
    ) -> web.Response:
        mine = self._reporter
        if mine.state is not None and not mine.left:
            # The mark may be some seconds old that the reporter looks at.
            mine.left = await asyncio.to_thread(lambda: mine.state is not None and mine.state.left)
        if mine.left:
            return _json(_LEFT, 410)
        if request.headers.get("User-Agent") != RELAY:
            self._reads[page] = self._reads.get(page, 0) + 1
            self._read_at[page] = mine.clock.unix()
        return make()


def _hours(records: list[HourRecord]) -> dict[str, Any]:
    """How many of the last day's hours are published, and the newest."""
    newest = rfc3339(records[-1].start) if records else None
    return {"published": len(records), "newest": newest}


def _page(summary: dict[str, Any]) -> web.Response:
    return web.Response(
        text=as_html(summary), headers={**HEADERS, "Content-Type": HTML, "Vary": "Accept"}
    )


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    content = json.dumps(body, sort_keys=True).encode() + b"\n"
    return web.Response(body=content, status=status, content_type="application/json")

"""What a reporter of the pool shares, on the port that gateways call, in an advertiser beside it.

An advertiser counts nothing: it fetches the reporter's frozen record and shows that, so that all
replicas say the same. Where the reporter does not answer, the last record stays for an hour. Who
has left, or has deleted the resource, is shown no more.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.probes.http_client import FetchError, client, fetch
from mediafleet_common.serving.unary.pages import Page
from mediafleet_scheduler.community.pages import RELAY
from mediafleet_scheduler.community.public import (
    LEFT,
    MOST_BYTES,
    NOT_FOUND,
    PATHS,
    made_of,
    wants_html,
)
from mediafleet_scheduler.core.community.collecting import NoSummaryError, read_summary

LOOK_SECONDS: Final = 15.0
KEPT_SECONDS: Final = 3600.0
"""A reporter that moves to another node is back by then; one that is gone says nothing."""
_NAMELESS_LOOKS: Final = 2
"""A DNS server may be away for a moment. What it says of a name that is gone differs."""
_TIMEOUT_SECONDS: Final = 5.0
_LEFT_DETAIL: Final = "HTTP 410"
_SERIES: Final = "mediafleet_community_"
_NONE: Final = Page(HTTPStatus.NOT_FOUND, "text/plain", b"nothing is shared here\n")

_log: Final = logging.getLogger(__name__)


class UnfitError(Exception):
    """What a reporter answered is nothing to show; the text says why."""


class Relay:
    """The pages as they were fetched last."""

    def __init__(self, url: str, clock: Clock = SYSTEM) -> None:
        """`url`: HTTP of the reporter."""
        self._url = url.rstrip("/")
        self._clock = clock
        self._pages: dict[tuple[bytes, bool], Page] = {}
        self._fetched_at: float | None = None
        self._nameless = 0
        """Looks in a row at which the reporter's name was none."""
        self._said: str | None = None

    def answer(self, path: bytes, accept: bytes) -> Page:
        """The page for a path."""
        if path not in PATHS:
            return NOT_FOUND
        html = path == b"/summary" and wants_html(accept.decode("latin-1"))
        return self._pages.get((path, html), _NONE)

    async def run(self) -> None:
        """Look every 15 s, until cancelled."""
        async with client(agent=RELAY, reach=OWN_WORD) as session:
            while True:
                await self.look(session)
                await asyncio.sleep(LOOK_SECONDS)

    async def look(self, session: aiohttp.ClientSession) -> None:
        """Fetch the record once."""
        try:
            self._pages = await self._fetched(session)
        except (FetchError, UnfitError) as error:
            why = error.no_load.detail if isinstance(error, FetchError) else str(error)
            await self._missed(why)
        else:
            self._fetched_at, self._said = self._clock.monotonic(), None
            self._nameless = 0

    async def _fetched(self, session: aiohttp.ClientSession) -> dict[tuple[bytes, bool], Page]:
        """Both pages of one record: between the two a window may close."""
        before = await self._get(session, "/summary")
        text = await self._get(session, "/metrics/community")
        if await self._get(session, "/summary") != before:
            raise UnfitError("a window closed meanwhile")
        return made_of(*_fit(before, text))

    async def _get(self, session: aiohttp.ClientSession, path: str) -> bytes:
        headers = {"Accept": "application/json"}
        return await fetch(session, self._url + path, _TIMEOUT_SECONDS, MOST_BYTES, headers)

    async def _missed(self, why: str) -> None:
        if why != self._said:
            self._said = why
            _log.warning("the summary of %s is not to be had: %s", self._url, why)
        if why == _LEFT_DETAIL:
            self._pages = {(path, html): LEFT for path in PATHS for html in (False, True)}
            self._fetched_at = None
        self._nameless = self._nameless + 1 if await _is_unknown(self._url) else 0
        if self._is_old or self._nameless >= _NAMELESS_LOOKS:
            self._pages, self._fetched_at = {}, None

    @property
    def _is_old(self) -> bool:
        since = self._fetched_at
        return since is not None and self._clock.monotonic() - since > KEPT_SECONDS


def _fit(summary: bytes, text: bytes) -> tuple[dict[str, Any], str]:
    """What is fit to show: a summary, and series of ours alone."""
    try:
        read_summary(summary)
        lines = text.decode().splitlines()
    except (NoSummaryError, UnicodeDecodeError) as error:
        raise UnfitError(f"it answers no summary: {error}") from error
    if not all(line.startswith(("#", _SERIES)) for line in lines):
        raise UnfitError("it shows other metrics than those of a summary")
    return json.loads(summary), text.decode()


async def _is_unknown(url: str) -> bool:
    """Whether the Service is gone, and not only its pod: then its name leads nowhere."""
    host = urlsplit(url).hostname or ""
    try:
        await asyncio.get_running_loop().getaddrinfo(host, None)
    except socket.gaierror:
        return True
    return False

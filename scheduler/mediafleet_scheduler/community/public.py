"""What is shared, on the port that gateways call: `/summary`, `/metrics/community`, nothing else.

Anybody reaches that port, so a request costs no more than a look into what was made before: once
for each change, and a second after the operator has left at the latest.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from mediafleet_common.serving.unary.pages import Page
from mediafleet_scheduler.community.reporter import Reporter
from mediafleet_scheduler.core.community.pages.summary import as_html
from mediafleet_scheduler.core.community.rendering import VERSION, Shared, as_json, as_prometheus

PATHS: Final = (b"/summary", b"/metrics/community")
LOOK_SECONDS: Final = 1.0
MOST_BYTES: Final = 1024 * 1024
"""A larger page is not shown there."""
HTML: Final = "text/html; charset=utf-8"
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
NOT_FOUND: Final = Page(HTTPStatus.NOT_FOUND, _TEXT, b"only /summary and /metrics/community\n")
_TOO_LARGE: Final = Page(HTTPStatus.INSUFFICIENT_STORAGE, _TEXT, b"too large for this port\n")
LEFT: Final = Page(
    HTTPStatus.GONE, _JSON, json.dumps({"version": VERSION, "left": True}).encode() + b"\n"
)


def wants_html(accept: str) -> bool:
    """Whether an Accept header is that of a browser."""
    return "text/html" in accept


def made_of(summary: Mapping[str, Any], metrics: str) -> dict[tuple[bytes, bool], Page]:
    """The pages of one record, by path and whether they are for a browser."""
    return {
        (b"/summary", False): _page(_JSON, json.dumps(summary, sort_keys=True) + "\n"),
        (b"/summary", True): _page(HTML, as_html(summary)),
        (b"/metrics/community", False): _page(_TEXT, metrics),
    }


class PublicPages:
    """The pages as they were made last."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._shared: Shared | None = None
        self._pages: dict[tuple[bytes, bool], Page] = {}
        self._left = reporter.left
        self.look()

    def answer(self, path: bytes, accept: bytes) -> Page:
        """The page for a path."""
        if path not in PATHS:
            return NOT_FOUND
        if self._left:
            return LEFT
        html = path == b"/summary" and wants_html(accept.decode("latin-1"))
        return self._pages[path, html]

    def look(self) -> None:
        """Make them anew if other things are shared."""
        shared = self._reporter.shared
        if shared == self._shared:
            return
        self._shared = shared
        self._pages = made_of(as_json(shared), as_prometheus(shared))

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            self._left = await asyncio.to_thread(self._has_left) or self._reporter.left
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def _has_left(self) -> bool:
        state = self._reporter.state
        return state is not None and state.left


def _page(media: str, text: str) -> Page:
    body = text.encode()
    return Page(HTTPStatus.OK, media, body) if len(body) <= MOST_BYTES else _TOO_LARGE

"""The pages of one desk: the files, which hold nothing secret, and what they show, which may."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from aiohttp import web

from mediafleet_common.pages.feed import Feed, Read
from mediafleet_common.pages.files import ASSETS, HEADERS, file_route

_VIEWS: Final = 'data-views=""'


class View(StrEnum):
    """A page."""

    FLEETS = "fleets"
    NODES = "nodes"
    WORKERS = "workers"
    SCALING = "scaling"


class Site:
    """The pages that a desk has, the first of them shown first."""

    def __init__(self, views: Sequence[View], read: Read) -> None:
        self._views = views
        self._feed = Feed(read)

    def routes(self) -> list[web.RouteDef]:
        """For anybody: files that are the same for all."""
        html = (_VIEWS, f'data-views="{" ".join(self._views)}"')
        return [
            web.get("/ui", _to_the_page),
            file_route("/ui/", ASSETS / "page.html", html),
            *(
                file_route(f"/ui/{file.name}", file)
                for file in sorted(ASSETS.iterdir())
                if file.suffix in (".js", ".css", ".svg")
            ),
        ]

    def reports(self) -> list[web.RouteDef]:
        """For those who may read the desk's reports."""
        return self._feed.routes()


async def _to_the_page(_: web.Request) -> web.Response:
    return web.Response(status=308, headers={**HEADERS, "Location": "/ui/"})

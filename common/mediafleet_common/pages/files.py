"""Files of a page, and the headers with which they go out.

Nothing is fetched from elsewhere, and the headers allow the browser nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

ASSETS: Final = Path(__file__).parent / "assets"
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


def file_route(path: str, file: Path, replaced: tuple[str, str] = ("", "")) -> web.RouteDef:
    """A file, read once, with one text of it replaced by another."""
    body = file.read_text(encoding="utf-8")
    if replaced[0]:
        body = body.replace(*replaced)
    return web.get(path, _answer(body.encode(), TYPES[file.suffix]))


def _answer(body: bytes, content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=HEADERS)

    return answer

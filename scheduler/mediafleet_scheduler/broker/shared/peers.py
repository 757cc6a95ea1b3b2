"""What workers bring to the wrong broker is handed to the one that its task id or name tells."""

from __future__ import annotations

import binascii
import logging
import re
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp import web

from mediafleet_common.dial import Connector
from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.broker.results import PATH, Post
from mediafleet_scheduler.core.workers.shared import Peer, tag_of

_HANDED: Final = "X-Mediafleet-Handed-On"
"""Is on what a broker hands to another, which hands it no further."""
_PASSED_ON: Final = ("authorization", "credentials", "taskid", "pipeline", "content-type")
_SECONDS: Final = 900.0
"""For a result or an input."""
_CHUNK: Final = 64 * 1024
_MOST_WORDS: Final = 4096
_INPUT: Final = re.compile(r"/inputs/([0-9]{1,5})\.[A-Za-z0-9_-]{32}")

_log: Final = logging.getLogger(__name__)


class Peers:
    """The other brokers. An async context manager."""

    def __init__(self, tag: int, address: str, fingerprint: Callable[[], str]) -> None:
        self._tag = tag
        self._address = address
        self._fingerprint = fingerprint
        self._peers: dict[int, Peer] = {}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=Connector(OWN_WORD, limit=64),
            timeout=aiohttp.ClientTimeout(total=_SECONDS, connect=5.0),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    @property
    def me(self) -> Peer:
        """This broker, as others reach it."""
        return Peer(self._tag, self._address, self._fingerprint())

    def known(self, peers: Iterable[Peer]) -> None:
        """Those that are alive now."""
        self._peers = {peer.tag: peer for peer in peers if peer.tag != self._tag}

    async def result(self, post: Post, task_id: int) -> tuple[int, str] | None:
        """Hand on a result whose sender may send it; `None`: no other broker is named."""
        peer = self._peers.get(tag_of(task_id))
        if peer is None or _HANDED.lower() in post.headers:
            return None
        post.let_in()
        headers = {name: post.headers[name] for name in _PASSED_ON if name in post.headers}
        url = f"https://{peer.address}{PATH}"
        try:
            async with self._session.post(
                url, data=post.body(), headers={**headers, _HANDED: "1"}, ssl=_pinned(peer)
            ) as response:
                words = await response.content.read(_MOST_WORDS)
                return response.status, words.decode(errors="replace")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            _log.warning("a result is lost: broker %s: %s", peer.address, printable(str(error)))
            return 502, "the broker of this task cannot be reached"

    async def input(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """An input that lies at another broker; `None`: no other broker is named."""
        named = _INPUT.fullmatch(request.path)
        peer = None if named is None else self._peers.get(int(named[1]))
        if peer is None or _HANDED in request.headers:
            return None
        url = f"https://{peer.address}{request.path}"
        try:
            async with self._session.get(
                url, headers={_HANDED: "1"}, ssl=_pinned(peer)
            ) as response:
                answer = web.StreamResponse(status=response.status)
                answer.content_length = response.content_length
                await answer.prepare(request)
                async for chunk in response.content.iter_chunked(_CHUNK):
                    await answer.write(chunk)
                await answer.write_eof()
                return answer
        except (aiohttp.ClientError, OSError) as error:
            _log.warning("an input: broker %s: %s", peer.address, printable(str(error)))
            return web.Response(status=502)


def _pinned(peer: Peer) -> aiohttp.Fingerprint:
    return aiohttp.Fingerprint(binascii.unhexlify(peer.fingerprint))

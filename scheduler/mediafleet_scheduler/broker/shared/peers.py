"""How a broker reaches the others: whose is a task, and what is theirs is handed on."""

from __future__ import annotations

import asyncio
import binascii
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp import web

from mediafleet_common.dial import Connector
from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.broker.results import PATH, Post
from mediafleet_scheduler.core.workers.shared import Peer
from mediafleet_scheduler.core.workers.steps import Verdict

HANDED: Final = "X-Mediafleet-Handed-On"
"""Is on what a broker hands to another, which hands it no further."""
TAG: Final = "X-Mediafleet-Broker"
"""Says which broker answers."""
STATUS: Final = {Verdict.WANTED: 200, Verdict.LATE: 202, Verdict.UNKNOWN: 404}
"""How a broker answers whether a task id is its own."""
_ASK_SECONDS: Final = 2.0
"""For a broker to say whether a task is its own."""
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

    async def owner(
        self, headers: Mapping[str, str], task_id: int
    ) -> tuple[Peer | None, frozenset[Peer]]:
        """Who waits for the result of a task id, or knows it at least, as `headers` of the result
        say who asks; and who has answered."""
        peers = list(self._peers.values())
        answers = await asyncio.gather(*(self._ask(each, headers, task_id) for each in peers))
        told = list(zip(peers, answers, strict=True))
        owner = next(
            (
                peer
                for wanted in (Verdict.WANTED, Verdict.LATE)
                for peer, said in told
                if said == STATUS[wanted]
            ),
            None,
        )
        return owner, frozenset(peer for peer, said in told if said is not None)

    async def _ask(self, peer: Peer, headers: Mapping[str, str], task_id: int) -> int | None:
        """A status; `None`: it does not answer, or another one does that was started in its
        place."""
        passed = {name: headers[name] for name in ("authorization", "credentials")}
        try:
            async with self._session.head(
                f"https://{peer.address}{PATH}",
                headers={**passed, "TaskId": str(task_id), HANDED: "1"},
                timeout=aiohttp.ClientTimeout(total=_ASK_SECONDS),
                ssl=_pinned(peer),
            ) as response:
                if response.headers.get(TAG) != str(peer.tag):
                    return None
                return response.status
        except (aiohttp.ClientError, OSError, ValueError):
            return None

    async def result(self, post: Post, peer: Peer) -> tuple[int, str]:
        """Hand on a result whose sender may send it."""
        post.let_in()
        headers = {name: post.headers[name] for name in _PASSED_ON if name in post.headers}
        url = f"https://{peer.address}{PATH}"
        try:
            async with self._session.post(
                url, data=post.body(), headers={**headers, HANDED: "1"}, ssl=_pinned(peer)
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
        if peer is None or HANDED in request.headers:
            return None
        url = f"https://{peer.address}{request.path}"
        try:
            async with self._session.get(url, headers={HANDED: "1"}, ssl=_pinned(peer)) as response:
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

"""The head: a real orchestrator whose answers are passed on with our list of nodes.

Requests and answers travel as bytes. The head's errors pass unchanged, with code, details and
trailers; the desk adds one of its own, for a head that does not answer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import grpc

from mediafleet_common.api.pool.advertise import Head as HeadSpec
from mediafleet_common.formats.node_url import is_local, node_url
from mediafleet_common.formats.reach import Reach
from mediafleet_common.probes.ping import (
    GET_ORCHESTRATOR,
    PING,
    PING_VALUE,
    Answer,
    NodeClient,
)
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.advertise.head.link import HeadAwayError, HeadLink, Metadata, Reply
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.advertise.settings import HeadTimes
from mediafleet_scheduler.core.advertise import head as core
from mediafleet_scheduler.core.advertise.views import PoolView, Reaches

_log: Final = logging.getLogger(__name__)
_SILENT: Final = "it does not answer in time"

Address = tuple[str, int]


class HeadIsUsError(Exception):
    """The head says that it takes work at our own address; the text says what to do."""


class Head:
    """The head of the pool in force, over one connection that is made anew when it breaks.

    `own` are addresses at which the advertiser itself is reached, beside `advertise.urls`.
    """

    def __init__(
        self,
        metrics: AdvertiseMetrics,
        own: tuple[str, ...] = (),
        times: HeadTimes | None = None,
    ) -> None:
        self._metrics = metrics
        self._times = times or HeadTimes()
        self._own_urls = own
        self._own: frozenset[Address] = frozenset()
        self._found_out: set[Address] = set()
        """Addresses at which an advertiser answered in place of the head."""
        self._transcoder = ""
        self._spec: HeadSpec | None = None
        self._reaches = Reaches()
        self._link: HeadLink | None = None
        self._watching: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._away: str | None = None
        self.mistake: str | None = None
        """Why its answers cannot be passed on, until it says otherwise or is another one."""

    @property
    def away(self) -> str | None:
        """Why it cannot be asked, if so."""
        return self._away

    def take(self, view: PoolView) -> None:
        """Speak for the head of this pool from now on."""
        advertise = view.advertise
        own = (*self._own_urls, *advertise.urls)
        self._own = frozenset(place for place in map(_address, own) if place is not None)
        if (advertise.head, view.reaches) == (self._spec, self._reaches):
            return
        self._reaches = view.reaches
        self._spec = advertise.head
        self._transcoder = ""
        self._found_out.clear()
        self._away = self.mistake = None
        self._leave()
        if self._spec is not None:
            self._link = HeadLink(self._spec, view.reaches.own)
            self._watching = asyncio.create_task(self._watch(), name="head")

    async def close(self) -> None:
        """Hang up."""
        self._leave()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _leave(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        link, self._link = self._link, None
        if link is not None:
            closing = asyncio.create_task(link.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def orchestrator_info(self, request: bytes, metadata: Metadata, seconds: float) -> Reply:
        """GetOrchestrator. The answer's own nodes are still in it.

        Raises:
            HeadAwayError: the head does not answer.
            HeadIsUsError: it sends gateways to us, and so every job.
        """
        reply = await self.call(GET_ORCHESTRATOR, request, metadata, seconds)
        if reply.code is grpc.StatusCode.OK:
            self._judge(reply.message)
        return reply

    async def call(self, method: str, request: bytes, metadata: Metadata, seconds: float) -> Reply:
        """A call with the bytes as they came.

        Raises:
            HeadAwayError: the head does not answer.
        """
        link = self._link
        if link is None:
            raise HeadAwayError("there is none")
        try:
            async with asyncio.timeout(min(seconds, self._times.answer_seconds)):
                try:
                    reply = await link.call(method, request, metadata)
                except HeadAwayError:
                    # It may have been started again, with another certificate.
                    reply = await link.call(method, request, metadata)
        except TimeoutError:
            if seconds >= self._times.look_timeout_seconds:
                # It may be gone without a word, and the connection with it.
                link.hang_up()
                self._note_away(_SILENT)
            raise HeadAwayError(_SILENT) from None
        except HeadAwayError as error:
            self._note_away(str(error))
            raise
        if self._away is not None:
            _log.info("the head can be reached again")
            self._away = None
        self._metrics.head_up.set(1)
        return reply

    def _judge(self, answer: bytes) -> None:
        try:
            transcoder = core.read(answer).transcoder
        except core.NotAnInfoError:
            return
        self._transcoder = transcoder
        if _address(transcoder) not in self._own | self._found_out:
            self.mistake = None
            return
        self.mistake = (
            f"the head says that it takes work at {printable(transcoder)}, which is an "
            "advertiser: every job would fail. Start it with -serviceAddr none, or with an address "
            "of its own"
        )
        raise HeadIsUsError(self.mistake)

    def _note_away(self, why: str) -> None:
        self._metrics.head_up.set(0)
        if self._away is None:
            _log.warning("the head cannot be asked: %s", why)
        self._away = f"the head cannot be asked: {why}"
        # Where it takes work is said at its start: it may have been started with another address.
        self.mistake = None

    async def _look_behind(self) -> None:
        """Ask where the head says that it takes work whether an advertiser is there."""
        where = node_url(self._transcoder)
        if where is None:
            return
        async with NodeClient(where, self._look_reach()) as client:
            if await client.ping(self._times.look_timeout_seconds) is not Answer.ANSWERED:
                return
            place = where.host, where.port
            if client.advertiser:
                self._found_out.add(place)
            else:
                self._found_out.discard(place)

    def _look_reach(self) -> Reach:
        """A head on this machine may speak of this machine."""
        head = None if self._spec is None else node_url(f"https://{self._spec.address}")
        near = self._reaches.own.loopback and head is not None and is_local(head)
        return self._reaches.own if near else self._reaches.foreign

    async def _watch(self) -> None:
        while True:
            try:
                await self.call(PING, PING_VALUE, (), self._times.look_timeout_seconds)
                await self.orchestrator_info(b"", (), self._times.look_timeout_seconds)
            except (HeadAwayError, HeadIsUsError) as error:
                _log.debug("a look at the head: %s", error)
            await self._look_behind()
            await asyncio.sleep(self._times.look_seconds)


def _address(url: str) -> Address | None:
    """Where a URL leads, whatever its scheme: host and port."""
    parts = node_url(url)
    return None if parts is None else (parts.host, parts.port)

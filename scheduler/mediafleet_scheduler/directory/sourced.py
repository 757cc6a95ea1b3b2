"""A directory that adds the nodes of a pool's sources: fixed URLs and other advertisers' lists."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import aiohttp
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.reach import PUBLIC, Reach
from mediafleet_common.keyed_tasks import KeyedTasks
from mediafleet_common.probes.http_client import FetchError, client, fetch_newer
from mediafleet_common.serving.logs import printable
from mediafleet_common.serving.small_files import MAX_SECRET_BYTES, read_small_text
from mediafleet_scheduler.core.advertise.findings import SourceState
from mediafleet_scheduler.core.advertise.sources import (
    NotAListError,
    ReadList,
    addresses,
    current,
    is_near,
    is_stale,
    merged,
)
from mediafleet_scheduler.core.advertise.views import PoolView, Source
from mediafleet_scheduler.directory.directory import Directory
from mediafleet_scheduler.directory.publisher import Publisher

_log: Final = logging.getLogger(__name__)
OWN: Final = "own"
"""Value of query parameter `scope`: our advertisers leave out nodes of sources then."""


@dataclass(frozen=True, slots=True)
class SourceTimes:
    """How often lists of other advertisers are read."""

    read_seconds: float = 0.3
    """Between two readings of a list; where it is the same nothing but its tag is sent."""
    timeout_seconds: float = 1.0
    """A reading that takes longer has failed."""
    failed_seconds: float = 2.0
    """Until a list that could not be read is read again."""


class SourcedDirectory(Publisher[PoolView]):
    """The views of another directory, with the nodes of their sources.

    A source that cannot be read keeps its last list for `staleAfter` and then drops out; the reason
    is logged once. The first view waits until each source was tried once.
    """

    def __init__(
        self,
        inner: Directory[PoolView],
        registry: CollectorRegistry = REGISTRY,
        times: SourceTimes | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        super().__init__()
        self._inner = inner
        self._clock = clock
        self._times = times or SourceTimes()
        self._base: PoolView | None = None
        self._reach: Reach = PUBLIC
        self._lists: dict[str, ReadList] = {}
        self._tried: set[str] = set()
        self._named: set[str] = set()
        self._complaints: dict[str, str] = {}
        self._tasks = KeyedTasks[Source]()
        self._reads = Counter(
            "mediafleet_source_reads",
            "Readings of other advertisers' lists, by whether they could be used.",
            ["source", "result"],
            registry=registry,
        )
        self._nodes = Gauge(
            "mediafleet_source_nodes",
            "Nodes that a source stands for now, before they are asked.",
            ["source"],
            registry=registry,
        )

    @property
    def complaint(self) -> str | None:
        """Of the other directory."""
        return self._inner.complaint

    def states(self) -> dict[str, SourceState]:
        """How the reading of each list goes, by name of the source."""
        return {source.name: self._state(source) for source in self._tasks}

    def _state(self, source: Source) -> SourceState:
        read_list = self._lists.get(source.name)
        now = self._clock.monotonic()
        dropped = read_list is None or is_stale(source, read_list, now)
        return SourceState(self._complaints.get(source.name), dropped)

    async def run(self) -> None:
        """Follow the pool and its sources until cancelled."""
        self._inner.subscribe(self._take)
        try:
            await self._inner.run()
        finally:
            self._follow(())
            await self._tasks.close()

    def _take(self, view: PoolView) -> None:
        if view.reaches.own != self._reach:
            self._follow(())
            self._reach = view.reaches.own
        self._base = view
        self._follow(view.sources)
        self._publish()

    def _follow(self, sources: tuple[Source, ...]) -> None:
        wanted = {source for source in sources if source.list_url is not None}
        for source in self._tasks.keep_only(wanted):
            for known in (self._lists, self._complaints):
                known.pop(source.name, None)
            self._tried.discard(source.name)
        names = {source.name for source in sources}
        for gone in self._named - names:
            self._nodes.remove(gone)
        self._named &= names
        for source in wanted - self._tasks.keys():
            self._tasks.start(source, self._read_forever(source))

    def _publish(self) -> None:
        base = self._base
        if base is None or any(source.name not in self._tried for source in self._tasks):
            return
        now = self._clock.monotonic()
        lists = {
            source.name: current(source, self._lists.get(source.name), now)
            for source in base.sources
        }
        for name, urls in lists.items():
            self._nodes.labels(name).set(len(urls))
            self._named.add(name)
        self.publish(merged(base, lists, self.view, self._clock.unix()))

    async def _read_forever(self, source: Source) -> None:
        async with client(reach=self._reach) as session:
            while True:
                before = self._lists.get(source.name)
                new = source.name not in self._tried
                troubled = source.name in self._complaints
                complaint = await self._read(session, source)
                self._tried.add(source.name)
                self._note(source, complaint)
                # Where it cannot or could not be read, its list may have become too old.
                if new or troubled or complaint or before != self._lists.get(source.name):
                    self._publish()
                times = self._times
                await asyncio.sleep(times.failed_seconds if complaint else times.read_seconds)

    async def _read(self, session: aiohttp.ClientSession, source: Source) -> str | None:
        """Read a source once; what is wrong with it."""
        before = self._lists.get(source.name)
        try:
            body, etag = await fetch_newer(
                session,
                _with_scope(source.list_url or ""),
                None if before is None else before.etag,
                self._times.timeout_seconds,
                headers=_authorization(source),
                tls=_tls(source),
            )
            if body is None and before is not None:
                urls = before.urls
            else:
                urls, dropped = addresses(body or b"", near=self._is_near(source))
                if dropped and (before is None or urls != before.urls):
                    _log.warning(
                        "source %s: %d entries are dropped, without an address or with one that "
                        "is link-local, multicast, unspecified or loopback",
                        source.name,
                        dropped,
                    )
        except (FetchError, NotAListError, OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        self._lists[source.name] = ReadList(urls, self._clock.monotonic(), etag)
        return None

    def _is_near(self, source: Source) -> bool:
        return self._base is not None and is_near(self._base, source)

    def _note(self, source: Source, complaint: str | None) -> None:
        self._reads.labels(source.name, "failed" if complaint else "ok").inc()
        before = self._complaints.get(source.name)
        if complaint is None:
            if before is not None:
                del self._complaints[source.name]
                _log.info("source %s can be read again", source.name)
        elif before is None:
            self._complaints[source.name] = complaint
            _log.error(
                "source %s cannot be read, its last list stays for %g s: %s",
                source.name,
                source.stale_after_seconds,
                printable(complaint),
            )


def _with_scope(url: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}scope={OWN}"


def _authorization(source: Source) -> dict[str, str]:
    if source.token_file is None:
        return {}
    # Read each time: the token may be replaced.
    token = read_small_text(Path(source.token_file), MAX_SECRET_BYTES).strip()
    return {"Authorization": f"Bearer {token}"}


def _tls(source: Source) -> ssl.SSLContext | bool:
    if source.ca_file is None:
        return True
    return _context(source.ca_file, Path(source.ca_file).stat().st_mtime_ns)


@lru_cache(maxsize=128)
def _context(ca_file: str, _: int) -> ssl.SSLContext:
    # The same object while the file is the same: a connection is kept for as long.
    return ssl.create_default_context(cafile=ca_file)

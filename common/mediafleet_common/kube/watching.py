"""Watch objects with kopf, and list them from time to time, in a thread and a loop of their own.

kopf tells of each change within milliseconds, but not of objects that went while its watch was
broken: the lists do. It has a thread of its own because, on the loop of a desk, it would take over
the process's signals, cancel each task of the loop that is younger than itself when it ends, and
kill its thread ten minutes later (kopf 1.45, kopf/_core/reactor/running.py).
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, Final

import kopf

from mediafleet_common.kube.access import (
    ApiAwayError,
    Collection,
    Raw,
    list_all,
    login,
)

_log: Final = logging.getLogger(__name__)
_LIST_SECONDS: Final = 30.0
_BACK_OFF_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_JOIN_SECONDS: Final = 5.0
_CHUNK: Final = 500
_CHATTY: Final = (
    "kopf._cogs.clients",
    "kopf._core.reactor.observation",
    "kopf._core.reactor.running",
    "kopf.activities",
)


class _Patience:
    """Pauses between attempts of kopf's, without end: once they were used up, it would stop
    watching for good (an API server that has just been started answers 503 for seconds)."""

    def __iter__(self) -> Iterator[float]:
        return chain((0.1, 0.3, 0.5), repeat(1.0))


@dataclass(frozen=True, slots=True)
class Changed:
    """An object was seen, or deleted."""

    collection: Collection
    raw: Raw
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """All objects of a collection as of a resourceVersion."""

    collection: Collection
    version: int
    raws: list[Raw]


@dataclass(frozen=True, slots=True)
class Away:
    """The API server cannot be reached, or the watch ended."""

    reason: str


News = Changed | Listed | Away


class Watcher:
    """Delivers news from a thread until stopped; `deliver` is called in that thread."""

    def __init__(
        self,
        collections: Sequence[Collection],
        namespaces: Sequence[str],
        deliver: Callable[[News], None],
    ) -> None:
        self._collections = tuple(collections)
        self._namespaces = tuple(namespaces)
        self._deliver = deliver
        self._thread = threading.Thread(target=self._run, name="kubernetes", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._begun = threading.Event()

    def start(self) -> None:
        """Begin to watch."""
        for name in _CHATTY:
            # Each failed attempt is an error of theirs; ours say once that the server is away.
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._thread.start()

    async def stop(self) -> None:
        """End the thread."""
        await asyncio.to_thread(self._begun.wait, _JOIN_SECONDS)
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self._thread.join, _JOIN_SECONDS)

    async def ended(self) -> None:
        """Wait until the thread ends, which it does only when told to or by a bug."""
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._begun.set()
        failures = 0
        while not self._stop.is_set():
            stopped = asyncio.create_task(self._stop.wait())
            lists = asyncio.create_task(self._list_forever())
            # kopf last: when it ends it cancels every task of this loop that is younger.
            watch = asyncio.create_task(self._watch(self._stop))
            done, _ = await asyncio.wait(
                {stopped, lists, watch}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in (lists, stopped):
                task.cancel()
            if watch not in done:
                await asyncio.wait({watch}, timeout=_JOIN_SECONDS)
                watch.cancel()
            results = await asyncio.gather(stopped, lists, watch, return_exceptions=True)
            if not self._stop.is_set():
                errors = [repr(result) for result in results if isinstance(result, Exception)]
                self._deliver(Away(f"watching ended: {'; '.join(errors) or 'no error'}"))
                failures += 1
                await self._pause(failures)

    async def _pause(self, failures: int) -> None:
        pause = _BACK_OFF_SECONDS[min(failures, len(_BACK_OFF_SECONDS)) - 1]
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))

    async def _list_forever(self) -> None:
        failures = 0
        while True:
            try:
                info = login(kopf.OperatorSettings())
                for collection in self._collections:
                    version, raws = await list_all(info, collection, self._namespaces)
                    self._deliver(Listed(collection, version, raws))
            except (ApiAwayError, kopf.LoginError, OSError) as error:
                self._deliver(Away(str(error)))
                failures += 1
                await self._pause(failures)
            else:
                failures = 0
                await asyncio.sleep(_LIST_SECONDS * random.uniform(0.8, 1.2))

    async def _watch(self, stop: asyncio.Event) -> None:
        await kopf.operator(
            registry=self._registry(),
            settings=self._settings(),
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=stop,
        )

    def _settings(self) -> kopf.OperatorSettings:
        settings = kopf.OperatorSettings()
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.process.ultimate_exiting_timeout = None
        settings.networking.connect_timeout = 5.0
        settings.networking.request_timeout = 30.0
        settings.networking.error_backoffs = _Patience()
        settings.watching.chunk_size = _CHUNK
        for collection in self._collections:
            if collection.label_selector:
                settings.watching.label_selectors[collection.plural] = collection.label_selector
        return settings

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def _login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo:
            return login(settings)

        for collection in self._collections:
            self._follow(registry, collection)
        return registry

    def _follow(self, registry: kopf.OperatorRegistry, collection: Collection) -> None:
        @kopf.on.event(collection.group, collection.version, collection.plural, registry=registry)
        async def _event(event: kopf.RawEvent, **_: Any) -> None:
            raw: Any = event["object"]
            self._deliver(Changed(collection, raw, deleted=event["type"] == "DELETED"))

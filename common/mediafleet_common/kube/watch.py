"""Watches objects and lists them at intervals, in a thread and a loop of its own.

Pods, of which there are thousands, are followed by our own reflector from the version of a list
that came in pages; by desks all else, too, since each change costs kopf two to four times as much
CPU in a process that places jobs (ADR 0038). What there are few of, the operator follows by kopf.

kopf reports each change within milliseconds, but not the objects that were deleted while its watch
was broken: the lists show those. On the loop of the process kopf would take over the process's
signals, cancel every task of the loop that is younger than itself when it ends, and kill its thread
ten minutes later (kopf 1.45, kopf/_core/reactor/running.py).
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from mediafleet_common.kube import kopf_watch
from mediafleet_common.kube.client import Api, Json
from mediafleet_common.kube.errors import KubeError, RefusedError
from mediafleet_common.kube.login import Login, configure
from mediafleet_common.kube.paths import Collection
from mediafleet_common.kube.reflector import ExpiredError, Reflector
from mediafleet_common.serving.run import CannotStartError

_log: Final = logging.getLogger(__name__)
LIST_SECONDS: Final = 30.0
GATHER_SECONDS: Final = 1.0
"""From the start of a watch to a list: its first events come in a bunch."""
_BACK_OFF_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_JOIN_SECONDS: Final = 5.0
_MANY: Final = "pods"


@dataclass(frozen=True, slots=True)
class Changed:
    """An object was seen, or deleted."""

    collection: Collection
    raw: Json
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """All objects of a collection as of a resourceVersion."""

    collection: Collection
    version: int
    raws: list[Json]


@dataclass(frozen=True, slots=True)
class Hidden:
    """The API server refuses the list of an optional collection."""

    collection: Collection
    reason: str


@dataclass(frozen=True, slots=True)
class Away:
    """The API server cannot be reached, or the watch ended."""

    reason: str
    word: str = "other"
    """Its class as a metric's label."""


News = Changed | Listed | Hidden | Away


class Watcher:
    """Delivers news from a thread until stopped; `deliver` is called in that thread."""

    def __init__(
        self,
        collections: Sequence[Collection],
        namespaces: Sequence[str],
        deliver: Callable[[News], None],
        *,
        login: Login = configure,
        list_seconds: float = LIST_SECONDS,
        by_kopf: bool = True,
    ) -> None:
        """`by_kopf`: what there are few of."""
        self._collections = tuple(collections)
        self._of_kopf = [each for each in collections if by_kopf and each.plural != _MANY]
        self._namespaces = tuple(namespaces)
        self._deliver = deliver
        self._login = login
        self._list_seconds = list_seconds
        self._hidden: set[Collection] = set()
        self._reflectors = [
            (
                collection,
                Reflector(
                    collection.inside(place),
                    collection.label_selector,
                    partial(self._seen, collection),
                ),
            )
            for collection in self._collections
            if collection not in self._of_kopf
            for place in self._namespaces or (None,)
        ]
        self._fresh = asyncio.Event()
        """Set with each round of lists."""
        self._thread = threading.Thread(target=self._run, name="kubernetes", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._listed = asyncio.Event()
        """The first lists are in, so it is known which collections can be watched."""
        self._relist = asyncio.Event()
        """A watch started over, so objects may have been deleted unseen."""
        self._begun = threading.Event()

    def start(self) -> None:
        """Begin to watch."""
        kopf_watch.silence()
        self._thread.start()

    async def stop(self) -> None:
        """End the thread."""
        await asyncio.to_thread(self._begun.wait, _JOIN_SECONDS)
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self._thread.join, _JOIN_SECONDS)

    async def ended(self) -> None:
        """Wait until the thread ends: after `stop`, or by a bug."""
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._begun.set()
        failures = 0
        while not self._stop.is_set():
            stopped = asyncio.create_task(self._stop.wait())
            lists = asyncio.create_task(self._list_forever())
            pods = asyncio.create_task(self._reflect_all())
            # kopf last: when it ends it cancels every task of this loop that is younger.
            watch = asyncio.create_task(self._watch())
            done, _ = await asyncio.wait(
                {stopped, lists, pods, watch}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in (lists, pods, stopped):
                task.cancel()
            if watch not in done:
                if self._listed.is_set():
                    await asyncio.wait({watch}, timeout=_JOIN_SECONDS)
                watch.cancel()
            results = await asyncio.gather(stopped, lists, pods, watch, return_exceptions=True)
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
                await self._list()
            except (KubeError, CannotStartError, OSError) as error:
                word = error.word if isinstance(error, KubeError) else "other"
                self._deliver(Away(str(error) or type(error).__name__, word))
                failures += 1
                await self._pause(failures)
            else:
                failures = 0
                self._listed.set()
                self._fresh.set()
                await self._rest()

    async def _list(self) -> None:
        async with Api(await self._login()) as api:
            for collection in self._collections:
                try:
                    listed = await list_collection(api, collection, self._namespaces)
                except RefusedError as error:
                    if not collection.optional:
                        raise
                    self._hidden.add(collection)
                    self._deliver(Hidden(collection, str(error)))
                else:
                    self._deliver(listed)
                    for each, reflector in self._reflectors:
                        if each == collection and not reflector.version:
                            # Of several places the oldest list counts: what came since comes again.
                            reflector.version = listed.version

    async def _rest(self) -> None:
        """Until the next list is due."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._list_seconds * random.uniform(0.8, 1.2)):
                await self._relist.wait()
                await asyncio.sleep(GATHER_SECONDS)
        self._relist.clear()

    async def _reflect_all(self) -> None:
        await self._listed.wait()
        async with asyncio.TaskGroup() as tasks:
            for _, reflector in self._reflectors:
                tasks.create_task(self._reflect(reflector))
            await asyncio.Event().wait()

    async def _reflect(self, reflector: Reflector) -> None:
        failures = 0
        while True:
            while not reflector.version:
                self._fresh.clear()
                await self._fresh.wait()
            before = reflector.version
            try:
                async with Api(await self._login()) as api:
                    await reflector.watch(api)
            except ExpiredError:
                reflector.version = 0
                self._relist.set()
            except (KubeError, CannotStartError, OSError) as error:
                word = error.word if isinstance(error, KubeError) else "other"
                self._deliver(Away(str(error) or type(error).__name__, word))
            else:
                if reflector.version != before:
                    failures = 0
                    continue
            # Nothing came of it: a server that hangs up at once is not asked all the time.
            failures += 1
            await self._pause(failures)

    def _seen(self, collection: Collection, raw: Json, deleted: bool) -> None:
        self._deliver(Changed(collection, raw, deleted=deleted))

    async def _watch(self) -> None:
        if not self._of_kopf:
            await self._stop.wait()
            return
        await self._listed.wait()
        self._relist.set()
        await kopf_watch.watch(
            [each for each in self._of_kopf if each not in self._hidden],
            self._namespaces,
            self._login,
            self._stop,
            self._seen,
            self._relist.set,
        )


async def follow(
    collections: Sequence[Collection],
    namespaces: Sequence[str],
    take: Callable[[News], None],
    *,
    login: Login = configure,
    list_seconds: float = LIST_SECONDS,
    by_kopf: bool = True,
) -> None:
    """Watch until cancelled; `take` is called on the loop of the caller. `by_kopf`: see Watcher.

    Raises:
        RuntimeError: the watching thread ended by itself.
    """
    loop = asyncio.get_running_loop()

    def deliver(news: News) -> None:
        with suppress(RuntimeError):  # the loop has ended before the thread
            loop.call_soon_threadsafe(take, news)

    watcher = Watcher(
        collections, namespaces, deliver, login=login, list_seconds=list_seconds, by_kopf=by_kopf
    )
    watcher.start()
    try:
        await watcher.ended()
        raise RuntimeError("the thread that watches Kubernetes has ended")
    finally:
        await watcher.stop()


async def list_collection(api: Api, collection: Collection, namespaces: Sequence[str]) -> Listed:
    """All objects of a kind in `namespaces` (none: in all), as of the oldest of the lists.

    Raises:
        KubeError: one of them could not be had.
    """
    selector = collection.label_selector
    query = {"labelSelector": selector} if selector else {}
    places: Sequence[str | None] = namespaces if collection.namespaced and namespaces else (None,)
    lists = [await api.list_as_of(collection.inside(place), **query) for place in places]
    return Listed(
        collection,
        min(version for version, _ in lists),
        [raw for _, raws in lists for raw in raws],
    )

"""A directory from Kubernetes: pools and their pods, as they change. While the API server is away
the last view stays.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from mediafleet_common.api.names import GROUP, PLURALS, VERSION, Kind, KindLabel, Label
from mediafleet_common.api.reading import UnreadableObjectError
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.ip_addresses import IpNetwork
from mediafleet_common.kube.client import Json
from mediafleet_common.kube.object_store import ObjectStore
from mediafleet_common.kube.paths import Collection
from mediafleet_common.kube.watch import Away, Changed, Hidden, Listed, News, follow
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.core.advertise.views import PoolView
from mediafleet_scheduler.core.workers.pools import WorkerPools
from mediafleet_scheduler.directory.objects import (
    UNEXPECTED,
    FleetFacts,
    PodFacts,
    PoolFacts,
    WorkerPoolFacts,
    pod_facts,
    pool_facts,
    pool_view,
    worker_pool_facts,
    worker_pools,
)
from mediafleet_scheduler.directory.publisher import Publisher, ViewT

_log: Final = logging.getLogger(__name__)
_GATHER_SECONDS: Final = 0.005
"""A rollout changes many pods within moments: one view has them all."""

FactsT = TypeVar("FactsT")


class FollowedKind(Generic[FactsT]):
    """One kind of object that is followed, from JSON to the object store."""

    def __init__(self, collection: Collection, read: Callable[[Json], FactsT]) -> None:
        self.collection = collection
        self.object_store: ObjectStore[FactsT] = ObjectStore()
        self.listed = False
        self.new_complaints = 0
        """How often an object could not be read for another reason than before."""
        self._read = read
        self._complaints: dict[str, str] = {}

    def take(self, news: Changed | Listed) -> set[str]:
        """Put news into the store; the uids of what it changes."""
        if isinstance(news, Listed):
            read = [(uid_of(raw), _version(raw), self._facts(raw)) for raw in news.raws]
            self.listed = True
            return self.object_store.take_list(
                news.version,
                [(uid, version, facts) for uid, version, facts in read if facts is not None],
                [uid for uid, _, facts in read if facts is None],
            )
        uid = uid_of(news.raw)
        if news.deleted:
            self._complaints.pop(uid, None)
            changed = self.object_store.remove(uid, _version(news.raw))
        else:
            facts = self._facts(news.raw)
            changed = facts is not None and self.object_store.put(uid, _version(news.raw), facts)
        return {uid} if changed else set()

    def knows(self, news: Changed) -> bool:
        """Whether it is no news: a watch begins with all there is, and lists have it again."""
        if news.deleted:
            return False
        return self.object_store.at(uid_of(news.raw), _version(news.raw)) is not None

    def _facts(self, raw: Json) -> FactsT | None:
        known = self.object_store.at(uid_of(raw), _version(raw))
        if known is not None:
            return known
        try:
            facts = self._read(raw)
        except (UnreadableObjectError, *UNEXPECTED) as error:
            # One object that cannot be read must not keep the others from being read.
            name = f"{raw['metadata'].get('namespace')}/{raw['metadata'].get('name')}"
            self._complain(uid_of(raw), f"{self.collection.plural} {name}: {error}")
            return None
        self._complaints.pop(uid_of(raw), None)
        return facts

    def _complain(self, uid: str, text: str) -> None:
        if self._complaints.get(uid) != text:
            self._complaints[uid] = text
            self.new_complaints += 1
            _log.error("%s; what was read before stays in force", printable(text, 500))


def uid_of(raw: Json) -> str:
    """Of an object as the API server has it."""
    return str(raw["metadata"]["uid"])


def _version(raw: Json) -> int:
    return int(raw["metadata"]["resourceVersion"])


Kinds = (
    FollowedKind[FleetFacts]
    | FollowedKind[PoolFacts]
    | FollowedKind[WorkerPoolFacts]
    | FollowedKind[PodFacts]
)


class KubeDirectory(Publisher[ViewT], Generic[ViewT]):
    """Common to all: hears news of its kinds, and reads them.

    The first view comes after a complete list of every kind.
    """

    def __init__(
        self,
        namespaces: Sequence[str],
        registry: CollectorRegistry = REGISTRY,
        clock: Clock = SYSTEM,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: list[Kinds] = []
        self._namespaces = tuple(namespaces)
        self._due: asyncio.TimerHandle | None = None
        self._heard_at: float | None = None
        self._away: str | None = None
        self._no_view: str | None = None
        self._unreadable = Counter(
            "mediafleet_directory_unreadable_objects",
            "Resources that this version could not read.",
            registry=registry,
        )
        self._interruptions = Counter(
            "mediafleet_directory_interruptions",
            "Times that the API server was away or the watch ended.",
            registry=registry,
        )
        Gauge(
            "mediafleet_watch_last_event_age_seconds",
            "Since anything was heard of the API server.",
            registry=registry,
        ).set_function(lambda: self.silent_seconds)

    @property
    def silent_seconds(self) -> float:
        """Since the last news from the API server; infinite before the first."""
        return float("inf") if self._heard_at is None else self._clock.monotonic() - self._heard_at

    @property
    def complaint(self) -> str | None:
        """Why there is no news from the API server, or no view of it, if so."""
        return self._away or self._no_view

    async def run(self) -> None:
        """Follow the cluster until cancelled.

        Raises:
            RuntimeError: the watching thread ended by itself.
        """
        try:
            collections = [kind.collection for kind in self._kinds]
            await follow(collections, self._namespaces, self._take, by_kopf=False)
        finally:
            if self._due is not None:
                self._due.cancel()

    def _take(self, news: News) -> None:
        if isinstance(news, Away):
            if self._away is None:
                self._interruptions.inc()
                _log.warning("no news from Kubernetes: %s", printable(news.reason, 500))
            self._away = news.reason
            self._go_without()
            return
        if isinstance(news, Hidden):
            return  # none of our kinds is optional
        self._heard_at = self._clock.monotonic()
        if self._away is not None:
            _log.info("Kubernetes can be heard again")
            self._away = None
        for kind in self._kinds:
            if kind.collection == news.collection:
                self._note(kind, news)

    @abstractmethod
    def _note(self, kind: Kinds, news: Changed | Listed) -> None:
        """There is news of a kind."""

    def _read(self, kind: Kinds, news: Changed | Listed) -> set[str]:
        """Read it; the uids of what it changes."""
        before = kind.new_complaints
        changed = kind.take(news)
        self._unreadable.inc(kind.new_complaints - before)
        return changed

    @property
    def _complete(self) -> bool:
        """Whether everything was listed once."""
        return all(kind.listed for kind in self._kinds)

    def _go_without(self) -> None:
        """The API server is away: publish what can stand in for a first view."""


class KubeWholeView(KubeDirectory[ViewT]):
    """Gathers news for a few milliseconds, then makes one view of all."""

    def _note(self, kind: Kinds, news: Changed | Listed) -> None:
        self._read(kind, news)
        if self._due is None and self._complete:
            loop = asyncio.get_running_loop()
            self._due = loop.call_later(_GATHER_SECONDS, self._make)

    def _make(self) -> None:
        self._due = None
        try:
            view = self._make_view()
        except UNEXPECTED as error:
            self._no_view = f"no view can be made of what is in the cluster: {error!r}"
            _log.exception("no view can be made; the last one stays in force")
            return
        self._no_view = None
        self.publish(view)

    @abstractmethod
    def _make_view(self) -> ViewT: ...


class KubePoolDirectory(KubeWholeView[PoolView]):
    """One OrchestratorPool and its pods."""

    def __init__(
        self,
        namespace: str,
        name: str,
        registry: CollectorRegistry = REGISTRY,
        clock: Clock = SYSTEM,
        networks: tuple[IpNetwork, ...] = (),
    ) -> None:
        super().__init__((namespace,), registry, clock)
        self._networks = networks
        self._namespace, self._name = namespace, name
        self._pools = FollowedKind(resources(Kind.ORCHESTRATOR_POOL), pool_facts)
        selector = f"{Label.KIND}={KindLabel.ORCHESTRATOR},{Label.FLEET}={name}"
        self._pods = FollowedKind(pods(selector), pod_facts)
        self._kinds = [self._pools, self._pods]

    def _make_view(self) -> PoolView:
        pool = next(
            (pool for pool in self._pools.object_store.items if pool.name == self._name), None
        )
        return pool_view(
            self._namespace,
            self._name,
            pool,
            self._pods.object_store.items,
            self.view,
            self._clock.unix(),
            self._networks,
        )


class KubeWorkerPools(KubeWholeView[WorkerPools]):
    """All AIWorkerPools of `namespaces` (none: of the cluster) and their pods."""

    def __init__(
        self,
        namespaces: Sequence[str],
        registry: CollectorRegistry = REGISTRY,
        clock: Clock = SYSTEM,
    ) -> None:
        super().__init__(namespaces, registry, clock)
        self._pools = FollowedKind(resources(Kind.AI_WORKER_POOL), worker_pool_facts)
        self._pods = FollowedKind(pods(f"{Label.KIND}={KindLabel.AI_WORKER}"), pod_facts)
        self._kinds = [self._pools, self._pods]

    def _make_view(self) -> WorkerPools:
        return worker_pools(self._pools.object_store.items, self._pods.object_store.items)


def resources(kind: Kind) -> Collection:
    """Ours of a kind."""
    return Collection(GROUP, VERSION, PLURALS[kind])


def pods(selector: str) -> Collection:
    """Pods with certain labels."""
    return Collection("", "v1", "pods", selector)

"""A directory from Kubernetes: fleets, pools and their pods, as they change.

While the API server is away the last view stays. An egress desk that starts meanwhile uses the view
that its predecessor kept, if it was given a file for it.
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
from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.core.workers.pools import WorkerPools
from mediafleet_scheduler.directory.last_view import LastView
from mediafleet_scheduler.directory.objects import (
    NO_BOUNDS,
    Bounds,
    FleetFacts,
    PodFacts,
    PoolFacts,
    WorkerPoolFacts,
    egress_view,
    fleet_facts,
    pod_facts,
    pool_facts,
    pool_view,
    worker_pool_facts,
    worker_pools,
)
from mediafleet_scheduler.directory.publisher import Publisher, ViewT

_log: Final = logging.getLogger(__name__)
_UNEXPECTED: Final = (ArithmeticError, AttributeError, KeyError, TypeError, ValueError)
_GATHER_SECONDS: Final = 0.005
"""A rollout changes many pods within moments: one view has them all."""
_KEEP_SECONDS: Final = 0.1
"""From the first change to writing the view, with all changes meanwhile."""

FactsT = TypeVar("FactsT")


class _Kind(Generic[FactsT]):
    """One kind of object that is followed, from JSON to the object store."""

    def __init__(self, collection: Collection, read: Callable[[Json], FactsT]) -> None:
        self.collection = collection
        self.object_store: ObjectStore[FactsT] = ObjectStore()
        self.listed = False
        self._read = read
        self._complaints: dict[str, str] = {}

    def take(self, news: Changed | Listed) -> int:
        """Put news into the store; how many objects could not be read for the first time."""
        before = dict(self._complaints)
        if isinstance(news, Listed):
            read = [(_uid(raw), _version(raw), self._facts(raw)) for raw in news.raws]
            self.object_store.take_list(
                news.version,
                [(uid, version, facts) for uid, version, facts in read if facts is not None],
                [uid for uid, _, facts in read if facts is None],
            )
            self.listed = True
        elif news.deleted:
            self.object_store.remove(_uid(news.raw), _version(news.raw))
        elif (facts := self._facts(news.raw)) is not None:
            self.object_store.put(_uid(news.raw), _version(news.raw), facts)
        return sum(before.get(uid) != text for uid, text in self._complaints.items())

    def _facts(self, raw: Json) -> FactsT | None:
        try:
            facts = self._read(raw)
        except (UnreadableObjectError, *_UNEXPECTED) as error:
            # One object that cannot be read must not keep the others from being read.
            name = f"{raw['metadata'].get('namespace')}/{raw['metadata'].get('name')}"
            self._complain(_uid(raw), f"{self.collection.plural} {name}: {error}")
            return None
        self._complaints.pop(_uid(raw), None)
        return facts

    def _complain(self, uid: str, text: str) -> None:
        if self._complaints.get(uid) != text:
            self._complaints[uid] = text
            _log.error("%s; what was read before stays in force", printable(text, 500))


def _uid(raw: Json) -> str:
    return str(raw["metadata"]["uid"])


def _version(raw: Json) -> int:
    return int(raw["metadata"]["resourceVersion"])


class KubeDirectory(Publisher[ViewT], Generic[ViewT]):
    """Common to both: gathers news for a few milliseconds, then makes one view of all.

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
        self._kinds: list[
            _Kind[FleetFacts] | _Kind[PoolFacts] | _Kind[WorkerPoolFacts] | _Kind[PodFacts]
        ] = []
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
            await follow([kind.collection for kind in self._kinds], self._namespaces, self._take)
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
                self._unreadable.inc(kind.take(news))
        if self._due is None and all(kind.listed for kind in self._kinds):
            loop = asyncio.get_running_loop()
            self._due = loop.call_later(_GATHER_SECONDS, self._make)

    def _make(self) -> None:
        self._due = None
        try:
            view = self._make_view()
        except _UNEXPECTED as error:
            self._no_view = f"no view can be made of what is in the cluster: {error!r}"
            _log.exception("no view can be made; the last one stays in force")
            return
        self._no_view = None
        self.publish(view)

    def _go_without(self) -> None:
        """The API server is away: publish what can stand in for a first view."""

    @abstractmethod
    def _make_view(self) -> ViewT: ...


class KubeEgressDirectory(KubeDirectory[EgressView]):
    """All EgressFleets of `namespaces` (none: of the cluster) and their pods.

    `bounds`: what the administrator lets fleets say.
    """

    def __init__(
        self,
        namespaces: Sequence[str],
        registry: CollectorRegistry = REGISTRY,
        last_view: LastView | None = None,
        clock: Clock = SYSTEM,
        bounds: Bounds = NO_BOUNDS,
    ) -> None:
        super().__init__(namespaces, registry, clock)
        self._last_view = last_view
        self._bounds = bounds
        self._keep_due: asyncio.TimerHandle | None = None
        self._fleets = _Kind(_resources(Kind.EGRESS_FLEET), fleet_facts)
        self._pods = _Kind(_pods(f"{Label.KIND}={KindLabel.EGRESS}"), pod_facts)
        self._kinds = [self._fleets, self._pods]

    def _make_view(self) -> EgressView:
        fleets, pods = self._fleets.object_store.items, self._pods.object_store.items
        return egress_view(fleets, pods, self._bounds)

    def _make(self) -> None:
        super()._make()
        if self._last_view is not None and self._keep_due is None:
            self._keep_due = asyncio.get_running_loop().call_later(_KEEP_SECONDS, self._keep)

    def _keep(self) -> None:
        self._keep_due = None
        if self._last_view is not None and self.view is not None:
            self._last_view.keep(self.view)

    def _go_without(self) -> None:
        if self.view is not None or self._last_view is None:
            return
        kept = self._last_view.read()
        if kept is not None:
            _log.warning("serving the fleets and pods that were known before this start")
            self.publish(kept)


class KubePoolDirectory(KubeDirectory[PoolView]):
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
        self._pools = _Kind(_resources(Kind.ORCHESTRATOR_POOL), pool_facts)
        selector = f"{Label.KIND}={KindLabel.ORCHESTRATOR},{Label.FLEET}={name}"
        self._pods = _Kind(_pods(selector), pod_facts)
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


class KubeWorkerPools(KubeDirectory[WorkerPools]):
    """All AIWorkerPools of `namespaces` (none: of the cluster) and their pods."""

    def __init__(
        self,
        namespaces: Sequence[str],
        registry: CollectorRegistry = REGISTRY,
        clock: Clock = SYSTEM,
    ) -> None:
        super().__init__(namespaces, registry, clock)
        self._pools = _Kind(_resources(Kind.AI_WORKER_POOL), worker_pool_facts)
        self._pods = _Kind(_pods(f"{Label.KIND}={KindLabel.AI_WORKER}"), pod_facts)
        self._kinds = [self._pools, self._pods]

    def _make_view(self) -> WorkerPools:
        return worker_pools(self._pools.object_store.items, self._pods.object_store.items)


def _resources(kind: Kind) -> Collection:
    return Collection(GROUP, VERSION, PLURALS[kind])


def _pods(selector: str) -> Collection:
    return Collection("", "v1", "pods", selector)

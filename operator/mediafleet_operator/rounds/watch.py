"""Takes in the news of the cluster: each event, and lists of everything.

News goes into the snapshots, and each fleet that it concerns into the queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mediafleet_common.api.names import KIND_LABELS, Kind
from mediafleet_common.api.reading import UnreadableObjectError
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.kube.paths import Collection
from mediafleet_common.kube.watch import Away, Changed, Hidden, Listed, News
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.kube import digest, paths
from mediafleet_operator.kube.snapshots import Snapshots
from mediafleet_operator.rounds.metrics import OperatorMetrics
from mediafleet_operator.rounds.queue import KeyedQueue

_log: Final = logging.getLogger(__name__)
_KINDS: Final = {collection: kind for kind, collection in paths.FLEETS.items()}

Raw = Mapping[str, Any]


@dataclass(slots=True)
class Listener:
    """Fills the snapshots and the queue."""

    snapshots: Snapshots
    queue: KeyedQueue[FleetKey]
    metrics: OperatorMetrics
    clock: Clock = SYSTEM
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    """Everything was listed once."""
    _news_at: float = field(init=False)
    _unlisted: set[Collection] = field(default_factory=lambda: set(paths.FOLLOWED))
    _away: str | None = None

    def __post_init__(self) -> None:
        self._news_at = self.clock.monotonic()

    @property
    def silent_seconds(self) -> float:
        """Since the last news."""
        return self.clock.monotonic() - self._news_at

    def why(self) -> str | None:
        """Why no fleet can be looked at yet, if so."""
        if self.complete.is_set():
            return None
        return self._away or "listing what is in the cluster"

    def take(self, news: News) -> None:
        """Take in one piece of news."""
        if isinstance(news, Away):
            self._note_away(news)
            return
        self._news_at = self.clock.monotonic()
        if self._away is not None:
            _log.info("the API server answers again")
            self._away = None
        match news:
            case Changed():
                self._changed(news)
            case Listed():
                self._listed(news)
                self._complete(news.collection)
            case Hidden():
                if self.snapshots.nodes_known:
                    _log.warning(
                        "nodes are not watched, so cordoned ones stay in use: %s", news.reason
                    )
                self.snapshots.nodes_known = False
                self._complete(news.collection)

    def _note_away(self, news: Away) -> None:
        fix = "; are the CRDs installed?" if news.word == "gone" else ""
        if self._away is None:
            _log.warning("no news from the API server: %s%s", news.reason, fix)
        self._away = f"cannot list what is in the cluster: {news.reason}{fix}"
        self.metrics.failed("all", news.word)

    def _complete(self, collection: Collection) -> None:
        self._unlisted.discard(collection)
        if not self._unlisted:
            self.complete.set()

    # Events

    def _changed(self, news: Changed) -> None:
        try:
            self._read(news)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # One object that cannot be read must not keep the others of a list from being read.
            name = (news.raw.get("metadata") or {}).get("name")
            _log.error("%s %s is left as it is: %r", news.collection.plural, name, error)
            self.metrics.failed("all", "unreadable")

    def _read(self, news: Changed) -> None:
        raw, deleted = news.raw, news.deleted
        if (kind := _KINDS.get(news.collection)) is not None:
            self._on_fleet(kind, raw, deleted=deleted)
        elif news.collection == paths.PODS:
            self._on_pod(raw, deleted=deleted)
        elif news.collection == paths.SERVICES:
            self._on_service(raw, deleted=deleted)
        else:
            self._on_node(raw, deleted=deleted)

    def _on_fleet(self, kind: Kind, raw: Raw, *, deleted: bool) -> None:
        if not deleted:
            self._put_fleet(kind, raw)
            return
        meta = raw["metadata"]
        key = FleetKey(kind, meta["namespace"], meta["name"])
        self.snapshots.drop_fleet(key, meta["uid"], meta["resourceVersion"])
        self.queue.add(key)
        self._look_beside()

    def _on_pod(self, raw: Raw, *, deleted: bool) -> None:
        pod = digest.pod(raw)
        if pod is None:
            return
        if deleted:
            self.snapshots.drop_pod(pod.key, pod.view.uid, pod.view.resource_version)
            self.queue.add(pod.key)
        elif self.snapshots.put_pod(pod):
            self.queue.add(pod.key)

    def _on_service(self, raw: Raw, *, deleted: bool) -> None:
        service = digest.slot_service(raw)
        if service is None:
            return
        if deleted:
            self.snapshots.drop_service(service)
            self.queue.add(service.key)
        elif self.snapshots.put_service(service):
            self.queue.add(service.key)

    def _on_node(self, raw: Raw, *, deleted: bool) -> None:
        node = digest.node(raw)
        if deleted:
            self.snapshots.drop_node(node.name)
        elif not self.snapshots.put_node(node):
            return
        for key in self.snapshots.keys_on_node(node.name):
            self.queue.add(key)

    # Lists

    def _listed(self, news: Listed) -> None:
        """Bring the snapshots in step with a list; every fleet is looked at after."""
        for raw in news.raws:
            self._changed(Changed(news.collection, raw))
        uids = {str(raw["metadata"]["uid"]) for raw in news.raws}
        gone: set[FleetKey] = set()
        if (kind := _KINDS.get(news.collection)) is not None:
            gone = self.snapshots.keep_only_fleets(kind, news.version, uids)
        elif news.collection == paths.PODS:
            gone = self.snapshots.keep_only_pods(news.version, uids)
        elif news.collection == paths.SERVICES:
            gone = self.snapshots.keep_only_services(news.version, uids)
        else:
            names = {raw["metadata"]["name"] for raw in news.raws}
            for name in set(self.snapshots.nodes) - names:
                self.snapshots.drop_node(name)
        for key in {*gone, *self.snapshots.fleets, *self.snapshots.pods}:
            self.queue.add(key)

    def _put_fleet(self, kind: Kind, raw: Raw) -> None:
        try:
            resource = digest.resource(raw, kind)
        except UnreadableObjectError as error:
            meta = raw["metadata"]
            key = FleetKey(kind, meta["namespace"], meta["name"])
            _log.error("%s is left as it is: %s", key, error)
            self.metrics.failed(KIND_LABELS[kind], "unreadable")
            return
        known = self.snapshots.fleets.get(resource.key)
        if self.snapshots.put_fleet(resource):
            if known is None or known.generation != resource.generation:
                self._look_beside()
            self.queue.add(resource.key)

    def _look_beside(self) -> None:
        """Fleets without a desk may now stand beside one, or no longer."""
        for key in self.snapshots.native_fleets():
            self.queue.add(key)

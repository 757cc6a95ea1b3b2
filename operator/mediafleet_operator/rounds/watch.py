"""Takes in what is told of the cluster: each event, and full lists of everything.

An event goes into the snapshots, and the fleet that it concerns into the queue. A full list is
taken before the first plan, after each time a watch had to start over (what was deleted meanwhile
nobody tells), and every RESYNC_SECONDS.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mediafleet_common.api.names import KIND_LABELS, Kind, Label
from mediafleet_common.kube.client import Api
from mediafleet_common.kube.errors import KubeError, RefusedError
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.kube import digest, paths
from mediafleet_operator.kube.snapshots import Snapshots
from mediafleet_operator.rounds import metrics
from mediafleet_operator.rounds.queue import KeyedQueue

_log: Final = logging.getLogger(__name__)
RESYNC_SECONDS: Final = 300.0
RELIST_SECONDS: Final = 1.0
"""After a watch started over; its events come in a bunch."""


@dataclass(slots=True)
class Listener:
    """Fills the snapshots and the queue."""

    api: Api
    snapshots: Snapshots
    queue: KeyedQueue[FleetKey]
    namespaces: Sequence[str]
    """Empty: all of them."""
    last_event_at: float = field(default_factory=time.monotonic)
    _relist: asyncio.Event = field(default_factory=asyncio.Event)

    # Events

    def on_fleet(self, kind: Kind, type_: str | None, raw: Mapping[str, Any]) -> None:
        """An event of a resource."""
        self._seen(type_)
        meta = raw["metadata"]
        key = FleetKey(kind, meta["namespace"], meta["name"])
        if type_ == "DELETED":
            self.snapshots.drop_fleet(key, meta["uid"])
            self.queue.add(key)
            self._look_beside()
        else:
            self._put_fleet(kind, raw)

    def on_pod(self, type_: str | None, raw: Mapping[str, Any]) -> None:
        """An event of a pod with our labels."""
        self._seen(type_)
        pod = digest.pod(raw)
        if pod is None:
            return
        if type_ == "DELETED":
            self.snapshots.drop_pod(pod.key, pod.view.uid)
            self.queue.add(pod.key)
        elif self.snapshots.put_pod(pod):
            self.queue.add(pod.key)

    def on_service(self, type_: str | None, raw: Mapping[str, Any]) -> None:
        """An event of a slot's Service."""
        self._seen(type_)
        service = digest.slot_service(raw)
        if service is None:
            return
        if type_ == "DELETED":
            self.snapshots.drop_service(service)
            self.queue.add(service.key)
        elif self.snapshots.put_service(service):
            self.queue.add(service.key)

    def on_node(self, type_: str | None, raw: Mapping[str, Any]) -> None:
        """An event of a Kubernetes node."""
        self._seen(type_)
        node = digest.node(raw)
        if type_ == "DELETED":
            self.snapshots.drop_node(node.name)
        elif not self.snapshots.put_node(node):
            return
        for key in self.snapshots.keys_on_node(node.name):
            self.queue.add(key)

    # Lists

    async def list_all(self) -> None:
        """Bring the snapshots in step with full lists; every fleet is looked at after.

        Raises:
            KubeError: something could not be listed.
        """
        await self._list_nodes()
        for kind in Kind:
            await self._list_fleets(kind)
        await self._list_pods()
        await self._list_services()
        for key in {*self.snapshots.fleets, *self.snapshots.pods}:
            self.queue.add(key)

    def list_soon(self) -> None:
        """Something may have been missed."""
        self._relist.set()

    async def keep_listing(self) -> None:
        """List everything again when it is time, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESYNC_SECONDS):
                    await self._relist.wait()
                    await asyncio.sleep(RELIST_SECONDS)
            self._relist.clear()
            try:
                await self.list_all()
            except KubeError as error:
                _log.warning("resync: %s", error)
                metrics.reconcile_errors.labels("all", error.word).inc()
                await asyncio.sleep(RELIST_SECONDS)
                self._relist.set()

    async def _list_nodes(self) -> None:
        try:
            nodes = await self.api.list_all(paths.nodes())
        except RefusedError as error:
            if self.snapshots.nodes_known:
                _log.warning("nodes are not watched, so cordoned ones stay in use: %s", error)
            self.snapshots.nodes_known = False
            return
        names = set()
        for raw in nodes:
            node = digest.node(raw)
            names.add(node.name)
            self.snapshots.put_node(node)
        for name in set(self.snapshots.nodes) - names:
            self.snapshots.drop_node(name)

    async def _list_fleets(self, kind: Kind) -> None:
        there = set()
        for namespace in self.namespaces or (None,):
            for raw in await self.api.list_all(paths.fleets(kind, namespace)):
                meta = raw["metadata"]
                there.add((FleetKey(kind, meta["namespace"], meta["name"]), meta["uid"]))
                self._put_fleet(kind, raw)
        known = [(key, each.uid) for key, each in self.snapshots.fleets.items() if key.kind is kind]
        for key, uid in known:
            if (key, uid) not in there:
                self.snapshots.drop_fleet(key, uid)
                self.queue.add(key)

    async def _list_pods(self) -> None:
        uids = set()
        for namespace in self.namespaces or (None,):
            query = {"labelSelector": Label.KIND.value}
            for raw in await self.api.list_all(paths.pods(namespace), **query):
                uids.add(raw["metadata"]["uid"])
                if (pod := digest.pod(raw)) is not None:
                    self.snapshots.put_pod(pod)
        self.snapshots.keep_only_pods(uids)

    async def _list_services(self) -> None:
        uids = set()
        for namespace in self.namespaces or (None,):
            query = {"labelSelector": Label.SLOT.value}
            for raw in await self.api.list_all(paths.services(namespace), **query):
                uids.add(raw["metadata"]["uid"])
                if (service := digest.slot_service(raw)) is not None:
                    self.snapshots.put_service(service)
        self.snapshots.keep_only_services(uids)

    def _put_fleet(self, kind: Kind, raw: Mapping[str, Any]) -> None:
        try:
            resource = digest.resource(raw, kind)
        except digest.UnreadableObjectError as error:
            meta = raw["metadata"]
            key = FleetKey(kind, meta["namespace"], meta["name"])
            _log.error("%s is left as it is: %s", key, error)
            metrics.reconcile_errors.labels(KIND_LABELS[kind], "unreadable").inc()
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

    def _seen(self, type_: str | None) -> None:
        self.last_event_at = time.monotonic()
        if type_ is None:
            self._relist.set()

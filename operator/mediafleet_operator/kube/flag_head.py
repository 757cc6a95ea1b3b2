"""Keeps the managed heads of pools with `advertise.mode: flag`: observe, decide, render."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from mediafleet_common.api.names import Annotation, Port
from mediafleet_common.api.pool.advertise import Mode
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.hosts import bracketed
from mediafleet_common.formats.times import rfc3339, unix
from mediafleet_common.kube.client import Api, Json
from mediafleet_common.kube.errors import GoneError
from mediafleet_common.probes.http_client import NoLoad
from mediafleet_common.probes.load import Load, Source
from mediafleet_operator.core import flag_head as restarts
from mediafleet_operator.core.flag_head import Head
from mediafleet_operator.core.fleet.state import FleetState
from mediafleet_operator.kube import digest, paths
from mediafleet_operator.manifests.children import flag_head
from mediafleet_operator.manifests.pods.pod import Product
from mediafleet_operator.manifests.resource import Resource

_log: Final = logging.getLogger(__name__)


class Ask(Protocol):
    """Asks one URL for a load; never raises."""

    async def __call__(self, url: str, source: Source) -> Load | NoLoad:
        """The load, or why there is none."""


@dataclass(frozen=True, slots=True)
class WantedHead:
    """What a head's objects ought to be, and when time alone changes that."""

    manifests: list[Json]
    look_again_seconds: float | None


@dataclass(slots=True)
class Heads:
    """The heads of all pools."""

    api: Api
    product: Product
    ask: Ask
    clock: Clock = SYSTEM

    async def wanted(
        self, resource: Resource, state: FleetState, urls: Iterable[str]
    ) -> WantedHead | None:
        """What the head of a pool ought to be for these nodes; `None`: it has none.

        Raises:
            KubeError: what it is now could not be read.
            InvalidTemplateError: none can be made of the resource.
        """
        spec = resource.spec
        if not isinstance(spec, OrchestratorPoolSpec) or spec.advertise.mode is not Mode.FLAG:
            state.head = state.head_nodes = None
            return None
        now = self.clock.unix()
        fixed = [url for source in spec.advertise.sources for url in source.urls]
        wanted, _ = restarts.listable([*urls, *fixed], spec.advertise.max_nodes)
        if state.head_nodes is None or state.head_nodes[0] != wanted:
            state.head_nodes = (wanted, now)
        still = now - state.head_nodes[1]
        head = state.head or await self._read(resource)
        busy_too = spec.advertise.flag.restart_while_busy
        step = restarts.step(head, wanted, still, now, idle=busy_too)
        if step.ask_sessions and await self._idle(resource):
            step = restarts.step(head, wanted, still, now, idle=True)
        if step.send or head is None:
            _log.info("%s: the head receives %d nodes", resource.key, len(step.nodes))
            head = Head(step.nodes, float(int(now)))
        state.head = head
        sent_at = rfc3339(head.sent_at or now)
        manifests = flag_head.manifests(resource, self.product, head, sent_at)
        return WantedHead(manifests, step.look_again_seconds)

    async def _read(self, resource: Resource) -> Head | None:
        name = flag_head.head_name(resource.key.name)
        target = paths.collection("apps/v1", "deployments", resource.key.namespace)
        try:
            live = await self.api.get(target.item(name))
        except GoneError:
            return None
        if digest.controller_uid(live["metadata"]) != resource.uid:
            return None
        marks = live["metadata"].get("annotations") or {}
        nodes = marks.get(Annotation.NODES.value) or ""
        sent_at = unix(marks.get(Annotation.NODES_TOLD.value))
        return Head(tuple(each for each in nodes.split(",") if each), sent_at)

    async def _idle(self, resource: Resource) -> bool:
        """Whether every pod of the head is known to have no sessions."""
        query = {"labelSelector": flag_head.pods_selector(resource.key.name)}
        for raw in await self.api.list_all(paths.pods(resource.key.namespace), **query):
            ip = (raw.get("status") or {}).get("podIP")
            if "deletionTimestamp" in raw["metadata"] or not ip:
                continue
            host = bracketed(ip)
            load = await self.ask(f"http://{host}:{Port.AGENT}/metrics", Source.TRANSCODE)
            if not isinstance(load, Load) or load.jobs != 0:
                return False
        return True

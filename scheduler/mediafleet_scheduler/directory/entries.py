"""The files' contents as views. Pure: the file's mtime comes in as an argument."""

from __future__ import annotations

from dataclasses import replace

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.pool.advertise import Advertise
from mediafleet_common.formats.ip_addresses import IpNetwork
from mediafleet_common.formats.reach import OWN_WORD, Reach
from mediafleet_scheduler.core.advertise.sources import source
from mediafleet_scheduler.core.advertise.views import Node, PoolView, Reaches
from mediafleet_scheduler.core.egress.queue import queue_rule
from mediafleet_scheduler.core.egress.rooms import room_names
from mediafleet_scheduler.core.egress.views import EgressView, Fleet, Worker
from mediafleet_scheduler.directory.entries_file import (
    FleetEntry,
    NodeEntry,
    NodesFile,
    WorkersFile,
)

POOL_NAME = "file"
"""Name of a pool from a file in metrics."""


def egress_view(file: WorkersFile, previous: EgressView | None, changed_at: float) -> EgressView:
    """The fleets of a workers file."""
    del previous, changed_at  # Nothing in it says since when a worker is what it is.
    fleets = sorted(file.fleets, key=lambda fleet: fleet.name)
    return EgressView(tuple(_fleet(fleet) for fleet in fleets))


def _fleet(entry: FleetEntry) -> Fleet:
    return Fleet(
        namespace="",
        name=entry.name,
        placement=entry.placement,
        accepts=frozenset(entry.accepts or RequestType),
        redis=None,
        workers=tuple(
            Worker(
                name=worker.name,
                uid=worker.cluster_id,
                cluster_id=worker.cluster_id,
                metrics_url=worker.metrics,
                cpu_cores=worker.cpu or entry.placement.cpu,
                memory_bytes=worker.memory,
                state=worker.state,
            )
            for worker in sorted(entry.workers, key=lambda worker: worker.name)
        ),
        pod_cores=entry.placement.cpu,
        rooms=room_names(entry.rooms),
        priority=entry.priority,
        queue=queue_rule(entry.placement.queue, autoscales=False),
    )


def pool_view(
    file: NodesFile,
    previous: PoolView | None,
    changed_at: float,
    networks: tuple[IpNetwork, ...] = (),
) -> PoolView:
    """The nodes of a nodes file; those that are what they were keep the time of that change.

    What stands in the file may lead anywhere; what a list tells, to `networks` beside what is
    public.

    For nodes of the first reading that time is unknown.
    """
    known = {node.uid: node for node in previous.nodes} if previous else {}
    at = changed_at if previous else None
    nodes = [
        _node(entry, known.get(_uid(entry)), at, file.advertise)
        for entry in sorted(file.nodes, key=lambda entry: entry.name)
    ]
    return PoolView(
        namespace="",
        name=POOL_NAME,
        advertise=file.advertise,
        nodes=tuple(nodes),
        load=file.load,
        sessions_max=file.sessions.max,
        sources=tuple(
            source(entry, entry.token_file, entry.ca_file)
            for entry in sorted(file.advertise.sources, key=lambda entry: entry.name)
        ),
        reaches=Reaches(OWN_WORD, OWN_WORD, Reach(networks=networks)),
    )


def _uid(entry: NodeEntry) -> str:
    return f"{entry.name} {entry.url}"


def _node(
    entry: NodeEntry, known: Node | None, changed_at: float | None, advertise: Advertise
) -> Node:
    node = Node(
        name=entry.name,
        uid=_uid(entry),
        url=entry.url,
        metrics_url=entry.metrics,
        state=entry.state,
        changed_at=changed_at,
        pod_url=entry.pod_url,
        region=entry.region or advertise.region,
        reach=OWN_WORD,
        models=tuple(entry.models or advertise.models),
    )
    same = known is not None and known.state is node.state
    return replace(node, changed_at=known.changed_at) if known and same else node

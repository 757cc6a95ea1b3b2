"""What each process makes of a resource that the API server has taken, in memory."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry
from tests.kit.fleets.views import egress_view
from tests.kit.operator.cluster import PRODUCT, Cluster
from tests.kit.operator.kube_server import KubeServer

from mediafleet_common.api.community import Community
from mediafleet_common.api.names import Kind
from mediafleet_common.clock import Clock
from mediafleet_common.kube.client import Api
from mediafleet_common.kube.watch import Changed
from mediafleet_common.probes.http_client import Failure, FetchError
from mediafleet_common.reports.community import CommunityReport
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.kube import paths
from mediafleet_operator.kube.children import Children
from mediafleet_operator.manifests.pods.pod import Product, problem
from mediafleet_operator.rounds.community.round import CommunityRounds
from mediafleet_operator.rounds.metrics import OperatorMetrics
from mediafleet_operator.rounds.watch import Listener
from mediafleet_scheduler.directory.files import parse
from mediafleet_scheduler.directory.last_view import LastView
from mediafleet_scheduler.directory.objects import (
    fleet_facts,
    pod_facts,
    pool_facts,
    pool_view,
    worker_pool_facts,
    worker_pools,
)

Json = dict[str, Any]
SENDING: Final = Product("ours", vmagent_image="vmagent", prometheus_image="prometheus")
REDIS: Final[Json] = {"redis": {"address": "redis:6379"}}


async def operator_serves(raw: Json) -> Json:
    """The status after some rounds of an operator that hears of the resource as its own does."""
    kind = Kind(raw["kind"])
    key = FleetKey(kind, raw["metadata"]["namespace"], raw["metadata"]["name"])
    cluster = Cluster()
    path = paths.fleet(key).path
    cluster.server.put(path, copy.deepcopy(raw))
    metrics = cluster.worker.counts.metrics
    listener = Listener(cluster.snapshots, cluster.queue, metrics)
    for _ in range(3):
        cluster.now += 1
        there = cluster.server.objects[path]
        listener.take(Changed(paths.FLEETS[kind], there))
        assert key in cluster.snapshots.fleets, "the operator cannot read it"
        await cluster.worker.round(key)
    resource = cluster.snapshots.fleets[key]
    status: Json = cluster.server.objects[path]["status"]
    said = {each["type"]: each["status"] for each in status["conditions"]}
    wrong = problem(resource, PRODUCT)
    assert said.get("TemplateValid", "True") == ("True" if wrong is None else "False"), wrong
    cluster.queue.close()
    return status


def desk_serves(raw: Json, pods: list[Json], folder: Path) -> None:
    """The egress desk's view of it beside another fleet, kept and read again."""
    other = {"metadata": {**raw["metadata"], "name": "other", "uid": "uid-other"}, "spec": REDIS}
    # Without a Redis, as most that are made up are, a view leaves a fleet out.
    served = {**raw, "spec": {**raw["spec"], **REDIS}}
    pods_seen = [pod_facts(each) for each in pods]
    egress_view([fleet_facts(raw)], pods_seen)
    view = egress_view([fleet_facts(each) for each in (served, other)], pods_seen)
    there = {fleet.name for fleet in (*view.fleets, *view.native)}
    assert there == {raw["metadata"]["name"], "other"}
    kept = LastView(folder / "view.json")
    kept.keep(view)
    assert kept.read() == view


def advertiser_serves(raw: Json, pods: list[Json]) -> None:
    """The advertiser's view, and that view's successor."""
    pool, facts = pool_facts(raw), [pod_facts(each) for each in pods]
    meta = raw["metadata"]
    view = pool_view(meta["namespace"], meta["name"], pool, facts, None, 1.0)
    pool_view(meta["namespace"], meta["name"], pool, facts, view, 2.0)


def broker_serves(raw: Json, pods: list[Json]) -> None:
    """The broker's view of the pool and of pods beside it."""
    worker_pools([worker_pool_facts(raw)], [pod_facts(each) for each in pods])


async def reporter_serves(raw: Json) -> None:
    """The operator makes its reporter, writes its status, and the reporter reads its file."""
    meta = raw["metadata"]
    key = FleetKey(Kind.COMMUNITY_METRICS, meta["namespace"], meta["name"])
    server, path = KubeServer(), paths.fleet(key).path
    server.put(path, copy.deepcopy(raw))
    api, clock = cast("Api", server), Clock(lambda: 1_800_000_000.0, lambda: 0.0)

    async def nobody(key: FleetKey) -> CommunityReport:
        raise FetchError(Failure.UNREACHABLE, f"{key} is not up")

    rounds = CommunityRounds(
        api,
        Children(api, SENDING, clock),
        nobody,
        OperatorMetrics(CollectorRegistry()),
        clock,
    )
    for _ in range(2):
        rounds.take(Changed(paths.COMMUNITY, server.objects[path]))
        await rounds.round(key)
    assert server.objects[path]["status"]["conditions"], "the operator cannot read it"
    kept = next(each for each in server.objects if "/configmaps/" in each)
    parse(server.objects[kept]["data"]["community.yaml"].encode(), Community)

"""What was made and deleted leaves nothing in an operator, which runs for months."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry
from tests.kit.operator.cluster import Cluster, running
from tests.kit.sizes import sizes

from mediafleet_common.api.names import Kind
from mediafleet_common.kube.client import Json
from mediafleet_common.kube.watch import Changed, Listed
from mediafleet_common.probes.http_client import NoLoad
from mediafleet_common.probes.load import Load, Source
from mediafleet_operator.core.fleet.model import FleetKey, Memory
from mediafleet_operator.kube import digest, paths
from mediafleet_operator.kube.snapshots import Snapshots
from mediafleet_operator.rounds.metrics import OperatorMetrics
from mediafleet_operator.rounds.probes import Prober
from mediafleet_operator.rounds.queue import KeyedQueue
from mediafleet_operator.rounds.watch import Listener

MANY = 1000


def objects(number: int) -> dict[Any, Json]:
    """A pool, a pod of it, its Service and its node, each as its collection has it."""
    name, version = f"pool-{number}", str(10 * number + 1)
    labels = {"kind": "orchestrator", "fleet": name, "slot": "0", "state": "ready"}

    def meta(of: str) -> Json:
        return {
            "name": of,
            "namespace": "media",
            "uid": f"{of}-uid",
            "resourceVersion": version,
            "generation": 1,
            "creationTimestamp": "2026-08-01T00:00:00Z",
            "labels": {f"mediafleet.dev/{key}": each for key, each in labels.items()},
        }

    kind = Kind.ORCHESTRATOR_POOL
    node = f"node-{number}"
    pod = {"metadata": meta(f"{name}-0"), "spec": {"nodeName": node}, "status": running("p-1")}
    return {
        paths.FLEETS[kind]: {"metadata": meta(name), "spec": {"replicas": 1}},
        paths.SERVICES: {"metadata": meta(f"{name}-0-svc"), "spec": {}},
        paths.PODS: pod,
        paths.NODES: {"metadata": {**meta(node), "labels": {}}, "spec": {}},
    }


async def test_a_thousand_pools_their_pods_services_and_nodes_leave_no_trace() -> None:
    snapshots, queue = Snapshots(), KeyedQueue[FleetKey]()
    one = Listener(snapshots, queue, OperatorMetrics(CollectorRegistry()))

    def listed(version: int) -> None:
        for collection in paths.FOLLOWED:
            one.take(Listed(collection, version, []))

    async def looked_at() -> None:
        while len(queue):
            key = await queue.take()
            if (resource := snapshots.fleets.get(key)) is not None:
                snapshots.observe(resource, None, {}, Memory(), 1.0)
            queue.done(key)

    listed(1)
    before = sizes(one)
    for number in range(MANY):
        made = objects(number)
        for collection, raw in made.items():
            one.take(Changed(collection, raw))
        assert snapshots.pods
        assert snapshots.services
        # The node goes first, and is missed.
        for collection, raw in reversed(made.items()):
            one.take(Changed(collection, raw, deleted=True))
            await looked_at()
    listed(10 * MANY + 2)
    assert sizes(one) == before


async def idle(url: str, source: Source) -> Load | NoLoad:
    del url, source
    return Load(jobs=0)


async def test_fleets_that_come_and_go_leave_nothing_in_their_rounds() -> None:
    cluster = Cluster(replicas=0, key=FleetKey(Kind.ORCHESTRATOR_POOL, "media", "first"))
    prober = Prober(idle, lambda _: None, OperatorMetrics(CollectorRegistry()))
    cluster.worker.prober = prober
    before: dict[str, int] = {}
    scaled = {"min": 1, "max": 3}
    for number in range(20):
        cluster.key = FleetKey(Kind.ORCHESTRATOR_POOL, "media", f"pool-{number}")
        cluster.path = paths.fleet(cluster.key).path
        cluster.server.put(
            cluster.path,
            {
                "apiVersion": "mediafleet.dev/v1alpha1",
                "kind": cluster.key.kind.value,
                "metadata": {"name": cluster.key.name, "namespace": "media"},
                "spec": {"replicas": 2, "autoscaling": scaled},
            },
        )
        await cluster.settle(5)
        assert len(cluster.pods) == 2
        resource = digest.resource(cluster.server.objects[cluster.path], cluster.key.kind)
        gone = [
            path for path in cluster.server.objects if path.rpartition("/")[2].startswith("pool-")
        ]
        for path in gone:
            cluster.server.remove(path)
        cluster.snapshots.keep_only_pods(10**9, set())
        cluster.snapshots.drop_fleet(cluster.key, resource.uid, resource.resource_version)
        await cluster.worker.round(cluster.key)
        cluster.snapshots.keep_only_fleets(cluster.key.kind, 10**9, set())
        cluster.queue.close()
        found = sizes(cluster.worker, cluster.registry)
        before = before or found
    await prober.close()
    assert found == before

"""How many writes to the API server a change of a fleet takes, with the times of production."""

from __future__ import annotations

from typing import Any, Final

import pytest
from tests.kit.fleets.manifests import ai_worker_pool, egress_fleet, orchestrator_pool
from tests.kit.operator.cluster import Cluster

from mediafleet_common.api.names import Kind
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.settings import Times

PODS: Final = 2
FLEETS: Final = (
    egress_fleet("rec", "redis:6379", PODS),
    orchestrator_pool("rec", PODS),
    ai_worker_pool("rec", PODS),
)
ONE_MORE: Final = ["create pods", "patch rec-2", "patch status"]
ONE_LESS: Final = ["delete rec-2", "patch rec-2", "patch status"]
MORE: Final[dict[str, Any]] = {"replicas": PODS + 1}
LABELLED: Final = {"template": {"metadata": {"labels": {"revision": "1"}}}}


async def settled(made: dict[str, Any]) -> Cluster:
    """A fleet at rest."""
    spec = {key: each for key, each in made["spec"].items() if key not in ("replicas", "drain")}
    cluster = Cluster(PODS, key=FleetKey(Kind(made["kind"]), "media", "rec"), **spec)
    times, statuses = Times(), cluster.worker.statuses
    statuses.seconds, statuses.load_only_seconds = times.status_seconds, times.status_load_seconds
    statuses.first_seconds = times.status_first_seconds
    statuses.change_seconds = times.status_change_seconds
    await cluster.settle(30)
    assert await changed(cluster, {}) == []
    return cluster


async def changed(cluster: Cluster, spec: dict[str, Any]) -> list[str]:
    """The writes that come of a change of its spec."""
    cluster.server.writes.clear()
    if spec:
        cluster.server.put(cluster.path, {"spec": spec})
        cluster.server.objects[cluster.path]["metadata"]["generation"] += 1
    await cluster.settle(60)
    return cluster.server.writes.copy()


@pytest.mark.parametrize("made", FLEETS, ids=lambda made: str(made["kind"]))
async def test_a_pod_more_or_less_is_three_writes_and_a_pause_is_one(made: dict[str, Any]) -> None:
    cluster = await settled(made)

    assert sorted(await changed(cluster, MORE)) == ONE_MORE
    assert sorted(await changed(cluster, {"replicas": PODS})) == ONE_LESS
    assert await changed(cluster, {"paused": True}) == ["patch status"]
    assert await changed(cluster, {"paused": False}) == ["patch status"]


@pytest.mark.parametrize("made", FLEETS, ids=lambda made: str(made["kind"]))
async def test_another_template_is_four_writes_a_pod_and_a_report(made: dict[str, Any]) -> None:
    writes = await changed(await settled(made), LABELLED)

    reports = [each for each in writes if each in {"patch status", "create events"}]
    # Made, marked; marked as leaving, deleted.
    assert len(writes) - len(reports) == 4 * PODS
    assert reports == ["patch status"]


async def test_a_pod_that_leaves_with_work_has_its_events() -> None:
    cluster = await settled(FLEETS[1])
    cluster.jobs = {"rec-0": 1, "rec-1": 1}
    await cluster.settle(30)

    assert (await changed(cluster, {"replicas": 1})).count("create events") == 1
    cluster.jobs = {}
    assert (await changed(cluster, {})).count("create events") == 1

"""Views from news of Kubernetes, without one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mediafleet_common.kube.watch import Away, Changed, Listed, News
from mediafleet_scheduler.core.advertise.views import PoolView
from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.directory.fleets.kube import KubeEgressDirectory
from mediafleet_scheduler.directory.kube import KubePoolDirectory
from mediafleet_scheduler.directory.last_view import LastView


def pod(name: str, version: int, state: str = "ready", owner: str = "p") -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": name,
            "resourceVersion": str(version),
            "ownerReferences": [
                {"apiVersion": "mediafleet.dev/v1alpha1", "uid": owner, "controller": True}
            ],
            "labels": {"mediafleet.dev/fleet": "orch", "mediafleet.dev/state": state},
            "annotations": {"mediafleet.dev/address": f"https://{name}:1"},
        },
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def egress_pod(name: str, version: int, state: str = "ready") -> dict[str, Any]:
    return pod(name, version, state, owner="f")


def pool(version: int, **spec: Any) -> dict[str, Any]:
    meta = {"name": "orch", "namespace": "ns", "uid": "p", "resourceVersion": str(version)}
    return {"metadata": meta, "spec": spec}


class Cluster:
    """Tells a directory what a watcher would."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.directory = KubePoolDirectory("ns", "orch", self.registry)
        self.pools, self.pods = (kind.collection for kind in self.directory._kinds)
        self.views: list[PoolView] = []
        self.directory.subscribe(self.views.append)

    async def tell(self, *news: News) -> None:
        for item in news:
            self.directory._take(item)
        await asyncio.sleep(0.02)  # the directory gathers for a few milliseconds

    async def begin(self, *pods: dict[str, Any]) -> None:
        await self.tell(
            Listed(self.pools, 1, [pool(1)]),
            Listed(self.pods, 10, list(pods)),
        )

    def complaint(self) -> str | None:
        return self.directory.complaint

    def count(self, name: str) -> float:
        return self.registry.get_sample_value(f"mediafleet_{name}") or 0.0


async def test_there_is_no_view_before_everything_was_listed_once() -> None:
    cluster = Cluster()
    await cluster.tell(Changed(cluster.pods, pod("a", 5)))
    await cluster.tell(Listed(cluster.pods, 10, [pod("a", 5)]))
    assert cluster.views == []
    await cluster.tell(Listed(cluster.pools, 1, []))
    assert [view.nodes for view in cluster.views] == [()]


async def test_a_burst_of_news_is_one_view() -> None:
    cluster = Cluster()
    await cluster.begin()
    await cluster.tell(*(Changed(cluster.pods, pod(f"n{i}", 20 + i)) for i in range(50)))
    assert [len(view.nodes) for view in cluster.views] == [0, 50]


async def test_an_object_that_went_unseen_goes_with_the_next_list() -> None:
    cluster = Cluster()
    await cluster.begin(pod("a", 5), pod("b", 6))
    await cluster.tell(Listed(cluster.pods, 30, [pod("b", 6)]))
    assert [node.name for node in cluster.views[-1].nodes] == ["b"]


async def test_the_view_stays_while_the_api_server_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster()
    await cluster.begin(pod("a", 5))
    await cluster.tell(Away("connection refused"), Away("connection refused"))
    assert [len(view.nodes) for view in cluster.views] == [1]
    assert cluster.complaint() == "connection refused"
    assert cluster.count("directory_interruptions_total") == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    await cluster.tell(Changed(cluster.pods, pod("a", 7, "draining")))
    assert cluster.complaint() is None
    assert cluster.views[-1].nodes[0].state == "draining"


async def test_a_resource_of_another_version_is_told_once_and_the_last_reading_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster()
    await cluster.begin()
    await cluster.tell(Changed(cluster.pools, pool(2, advertise={"maxNodes": 4})))
    odd = pool(3, advertise={"maxNodes": 4, "order": "best"})
    await cluster.tell(Changed(cluster.pools, odd), Listed(cluster.pools, 9, [odd]))
    view = cluster.directory.view
    assert view is not None
    assert view.advertise.max_nodes == 4
    assert cluster.count("directory_unreadable_objects_total") == 1
    assert len([line for line in caplog.messages if "spec.advertise.order" in line]) == 1


async def test_a_pod_that_nobody_expects_keeps_no_other_from_the_list() -> None:
    cluster = Cluster()
    strange = pod("b", 6)
    strange["metadata"]["ownerReferences"] = [7]
    await cluster.begin(strange, pod("a", 5))
    assert [node.name for node in cluster.views[-1].nodes] == ["a"]
    assert cluster.count("directory_unreadable_objects_total") == 1


async def test_a_view_that_cannot_be_made_is_a_complaint_and_the_last_one_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster()
    await cluster.begin(pod("a", 5))

    def fail() -> PoolView:
        raise ValueError("made of sand")

    with monkeypatch.context() as patch:
        patch.setattr(cluster.directory, "_make_view", fail)
        await cluster.tell(Changed(cluster.pods, pod("b", 7)))
    assert [node.name for node in cluster.views[-1].nodes] == ["a"]
    assert "made of sand" in (cluster.complaint() or "")
    await cluster.tell(Changed(cluster.pods, pod("c", 8)))
    assert [node.name for node in cluster.views[-1].nodes] == ["a", "b", "c"]
    assert cluster.complaint() is None


async def test_how_long_nothing_was_heard_is_a_metric() -> None:
    cluster = Cluster()
    assert cluster.count("watch_last_event_age_seconds") == float("inf")
    await cluster.begin()
    assert cluster.count("watch_last_event_age_seconds") < 5


async def test_a_deleted_object_is_gone_although_a_list_from_before_still_has_it() -> None:
    cluster = Cluster()
    await cluster.begin(pod("a", 5))
    gone = Changed(cluster.pods, pod("a", 12), deleted=True)
    await cluster.tell(gone, Listed(cluster.pods, 11, [pod("a", 5)]))
    assert cluster.views[-1].nodes == ()


def fleet(version: int, **spec: Any) -> dict[str, Any]:
    meta = {"name": "orch", "namespace": "ns", "uid": "f", "resourceVersion": str(version)}
    redis = {"address": "redis:6379", "passwordSecret": {"name": "redis", "key": "password"}}
    return {"metadata": meta, "spec": {"redis": redis, "rooms": ["vip-*"], **spec}}


def desk(file: Path) -> KubeEgressDirectory:
    return KubeEgressDirectory((), CollectorRegistry(), LastView(file))


async def told(directory: KubeEgressDirectory, *pods: dict[str, Any]) -> EgressView:
    """The view of a directory after whole lists."""
    fleets, kept = (kind.collection for kind in directory._kinds)
    directory._take(Listed(fleets, 1, [fleet(1, placement={"cpu": 4})]))
    directory._take(Listed(kept, 10, list(pods)))
    await asyncio.sleep(0.02)
    assert directory.view is not None
    return directory.view


async def test_a_desk_started_without_the_api_server_knows_what_its_predecessor_knew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediafleet_scheduler.directory.fleets.kube._KEEP_SECONDS", 0.0)
    file = tmp_path / "fleets.json"
    known = await told(desk(file), egress_pod("a", 5), egress_pod("b", 6, "draining"))
    await asyncio.sleep(0.02)
    again = desk(file)
    views: list[EgressView] = []
    again.subscribe(views.append)
    assert views == [], "it may be old: the API server is asked first"
    again._take(Away("connection refused"))
    assert views == [known]
    assert [worker.name for worker in known.fleets[0].workers] == ["a", "b"]
    # What is told of comes in place of what was remembered.
    assert await told(again, egress_pod("b", 8)) != known
    again._take(Away("connection refused"))
    assert [worker.name for worker in views[-1].fleets[0].workers] == ["b"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"fleets": [{"name": 1}]}'])
async def test_a_memory_that_makes_no_sense_is_told_and_passed_over(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "fleets.json"
    file.write_text(text)
    directory = desk(file)
    directory._take(Away("connection refused"))
    assert directory.view is None
    assert "is not of this version" in caplog.text


async def test_that_nothing_can_be_kept_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mediafleet_scheduler.directory.fleets.kube._KEEP_SECONDS", 0.0)
    directory = desk(tmp_path / "missing" / "fleets.json")
    await told(directory, pod("a", 5))
    await asyncio.sleep(0.02)
    assert "not remembered" in caplog.text
    directory = desk(tmp_path / "missing" / "fleets.json")
    directory._take(Away("connection refused"))
    assert directory.view is None

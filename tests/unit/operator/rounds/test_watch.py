"""What the operator hears of the cluster, and that it never plans on half of it."""

from __future__ import annotations

import copy
from typing import Any

from prometheus_client import CollectorRegistry
from tests.kit.operator.kube_server import KubeServer

from mediafleet_common.api.names import Kind
from mediafleet_common.kube.client import Json
from mediafleet_common.kube.watch import Away, Changed, Hidden, Listed
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.kube import paths
from mediafleet_operator.kube.snapshots import Snapshots
from mediafleet_operator.rounds.metrics import OperatorMetrics
from mediafleet_operator.rounds.queue import KeyedQueue
from mediafleet_operator.rounds.watch import Listener

KEY = FleetKey(Kind.EGRESS_FLEET, "media", "rec")
FLEET = paths.fleet(KEY).path
PODS = paths.pods("media").path


def fleet(server: KubeServer) -> Json:
    spec = {"redis": {"address": "redis:6379"}, "replicas": 1}
    return server.put(FLEET, {"metadata": {"name": "rec", "namespace": "media"}, "spec": spec})


def pod(server: KubeServer, slot: int, **labels: str) -> Json:
    marks = {"mediafleet.dev/kind": "egress", "mediafleet.dev/fleet": "rec", **labels}
    meta = {"name": f"rec-{slot}", "namespace": "media", "labels": marks}
    return server.put(f"{PODS}/rec-{slot}", {"metadata": meta, "spec": {"nodeName": "n1"}})


def listener() -> Listener:
    return Listener(Snapshots(), KeyedQueue(), OperatorMetrics(CollectorRegistry()))


def lists(server: KubeServer) -> list[Listed]:
    """Everything, as a watcher lists it."""
    of = {each: server.within(each.inside("media").path) for each in paths.FOLLOWED}
    now = next(server._versions)
    return [Listed(each, now, copy.deepcopy(raws)) for each, raws in of.items()]


def take_lists(one: Listener, server: KubeServer) -> None:
    for listed in lists(server):
        one.take(listed)


def on_fleet(one: Listener, raw: Json, *, deleted: bool = False) -> None:
    one.take(Changed(paths.FLEETS[Kind.EGRESS_FLEET], raw, deleted=deleted))


def on_pod(one: Listener, raw: Json, *, deleted: bool = False) -> None:
    one.take(Changed(paths.PODS, raw, deleted=deleted))


async def queued(one: Listener) -> list[FleetKey]:
    keys = []
    while len(one.queue):
        keys.append(await one.queue.take())
        one.queue.done(keys[-1])
    return keys


async def test_a_list_fills_everything_and_each_fleet_is_looked_at() -> None:
    server = KubeServer()
    fleet(server)
    pod(server, 0)
    server.put("/api/v1/nodes/n1", {"metadata": {"name": "n1"}, "spec": {"unschedulable": True}})
    one = listener()
    take_lists(one, server)

    assert list(one.snapshots.fleets) == [KEY]
    assert len(one.snapshots.pods[KEY]) == 1
    assert one.snapshots.nodes["n1"].cordoned
    assert await queued(one) == [KEY]


async def test_a_list_drops_what_was_deleted_while_nobody_listened() -> None:
    server = KubeServer()
    fleet(server)
    pod(server, 0)
    one = listener()
    take_lists(one, server)
    await queued(one)
    server.remove(FLEET)
    server.remove(f"{PODS}/rec-0")
    take_lists(one, server)

    assert one.snapshots.fleets == {}
    assert one.snapshots.pods == {}
    assert await queued(one) == [KEY]


async def test_without_the_right_to_list_nodes_it_goes_on() -> None:
    server = KubeServer()
    fleet(server)
    one = listener()
    nodes, *others = lists(server)
    for listed in others:
        one.take(listed)
    assert not one.complete.is_set()
    assert one.why() == "listing what is in the cluster"
    one.take(Hidden(nodes.collection, "cannot list nodes"))

    assert one.why() is None
    assert not one.snapshots.nodes_known
    assert list(one.snapshots.fleets) == [KEY]


async def test_a_list_from_before_a_deletion_does_not_bring_the_object_back() -> None:
    server = KubeServer()
    raw = fleet(server)
    there = pod(server, 0)
    one = listener()
    take_lists(one, server)
    late = lists(server)
    # The version of a deletion is that of the deletion.
    there["metadata"]["resourceVersion"] = raw["metadata"]["resourceVersion"] = "99"
    on_pod(one, there, deleted=True)
    on_fleet(one, raw, deleted=True)
    for listed in late:
        one.take(listed)

    assert one.snapshots.pods == {}
    assert one.snapshots.fleets == {}


async def test_a_list_from_before_a_creation_does_not_take_the_object_away() -> None:
    server = KubeServer()
    fleet(server)
    one = listener()
    take_lists(one, server)
    late = lists(server)
    on_pod(one, pod(server, 0))
    for listed in late:
        one.take(listed)

    assert len(one.snapshots.pods[KEY]) == 1


async def test_a_watch_that_goes_back_does_not_bring_a_predecessor_of_the_same_name_back() -> None:
    server, one = KubeServer(), listener()
    first = copy.deepcopy(fleet(server))
    on_fleet(one, first)
    server.remove(FLEET)
    on_fleet(one, first, deleted=True)
    second = copy.deepcopy(fleet(server))
    on_fleet(one, second)
    take_lists(one, server)

    on_fleet(one, first)
    assert one.snapshots.fleets[KEY].uid == second["metadata"]["uid"]
    on_fleet(one, first, deleted=True)
    assert one.snapshots.fleets[KEY].uid == second["metadata"]["uid"]


async def test_readiness_says_why_there_is_no_first_list() -> None:
    one = listener()
    one.take(Away("HTTP 404: not found", "gone"))
    assert one.why() == (
        "cannot list what is in the cluster: HTTP 404: not found; are the CRDs installed?"
    )
    take_lists(one, KubeServer())
    assert one.why() is None


async def test_events_bring_a_fleet_into_the_queue_once_and_only_with_news() -> None:
    server = KubeServer()
    one = listener()
    on_fleet(one, fleet(server))
    there = pod(server, 0)
    on_pod(one, there)
    assert await queued(one) == [KEY]
    on_pod(one, there)
    assert await queued(one) == []
    on_pod(one, there, deleted=True)
    assert await queued(one) == [KEY]
    on_fleet(one, server.objects[FLEET], deleted=True)
    assert await queued(one) == [KEY]
    assert one.snapshots.fleets == {}


async def test_a_node_wakes_the_fleets_that_have_pods_on_it() -> None:
    server = KubeServer()
    one = listener()
    on_pod(one, pod(server, 0))
    await queued(one)
    node: dict[str, Any] = {"metadata": {"name": "n1"}, "spec": {}}
    one.take(Changed(paths.NODES, node))
    assert await queued(one) == [KEY]
    one.take(Changed(paths.NODES, node))
    assert await queued(one) == [], "a heartbeat is no news"
    one.take(Changed(paths.NODES, {**node, "spec": {"unschedulable": True}}))
    assert await queued(one) == [KEY]


async def test_a_resource_it_cannot_read_is_left_as_it_was() -> None:
    server = KubeServer()
    one = listener()
    on_fleet(one, fleet(server))
    await queued(one)
    odd = server.put(FLEET, {"spec": {"replicas": "some"}})
    on_fleet(one, odd)

    assert await queued(one) == []
    assert KEY in one.snapshots.fleets


async def test_a_fleet_without_a_desk_is_looked_at_when_another_comes_changes_or_goes() -> None:
    server = KubeServer()
    native = {
        "metadata": {"name": "native", "namespace": "media", "generation": 1},
        "spec": {"redis": {"address": "redis:6379"}, "placement": {"engine": "native"}},
    }
    key = FleetKey(Kind.EGRESS_FLEET, "media", "native")
    one = listener()
    on_fleet(one, server.put(paths.fleet(key).path, native))
    assert await queued(one) == [key]
    raw = fleet(server)
    on_fleet(one, raw)
    assert set(await queued(one)) == {KEY, key}
    on_fleet(one, fleet(server))
    assert await queued(one) == [KEY], "of its status it need not know"
    on_fleet(one, raw, deleted=True)
    assert set(await queued(one)) == {KEY, key}


async def test_an_object_of_an_odd_shape_is_passed_over_and_the_list_goes_on() -> None:
    server = KubeServer()
    fleet(server)
    there = pod(server, 0)
    odd = pod(server, 1)
    odd["status"] = {"conditions": ["x"]}
    one = listener()
    for listed in lists(server):
        raws = [odd if raw["metadata"]["name"] == "rec-1" else raw for raw in listed.raws]
        one.take(Listed(listed.collection, listed.version, raws))

    assert one.complete.is_set()
    assert list(one.snapshots.pods[KEY]) == [there["metadata"]["uid"]]
    on_pod(one, odd)
    assert list(one.snapshots.pods[KEY]) == [there["metadata"]["uid"]]

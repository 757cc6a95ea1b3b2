"""What the operator hears of the cluster, and that it never plans on half of it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from tests.kit.operator.kube_server import KubeServer

from mediafleet_common.api.names import Kind, Reason
from mediafleet_common.kube.client import Api, Json, Target
from mediafleet_common.kube.errors import RefusedError
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.kube import paths
from mediafleet_operator.kube.snapshots import Snapshots
from mediafleet_operator.rounds.queue import KeyedQueue
from mediafleet_operator.rounds.watch import RELIST_SECONDS, RESYNC_SECONDS, Listener

KEY = FleetKey(Kind.EGRESS_FLEET, "media", "rec")
FLEET = paths.fleet(KEY).path
PODS = paths.pods("media").path


class Server(KubeServer):
    """Counts its lists, and may hide its nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.lists = 0
        self.nodes_hidden = False

    async def list_all(self, target: Target, **query: str) -> list[Json]:
        if target.resource == "nodes":
            self.lists += 1
            if self.nodes_hidden:
                raise RefusedError(Reason.ADMISSION_REFUSED, "cannot list nodes")
        return await super().list_all(target, **query)


def fleet(server: KubeServer) -> Json:
    spec = {"redis": {"address": "redis:6379"}, "replicas": 1}
    return server.put(FLEET, {"metadata": {"name": "rec", "namespace": "media"}, "spec": spec})


def pod(server: KubeServer, slot: int, **labels: str) -> Json:
    marks = {"mediafleet.dev/kind": "egress", "mediafleet.dev/fleet": "rec", **labels}
    meta = {"name": f"rec-{slot}", "namespace": "media", "labels": marks}
    return server.put(f"{PODS}/rec-{slot}", {"metadata": meta, "spec": {"nodeName": "n1"}})


def listener(server: KubeServer) -> Listener:
    return Listener(cast("Api", server), Snapshots(), KeyedQueue(), ["media"])


async def queued(one: Listener) -> list[FleetKey]:
    keys = []
    while len(one.queue):
        keys.append(await one.queue.take())
        one.queue.done(keys[-1])
    return keys


async def test_a_list_fills_everything_and_each_fleet_is_looked_at() -> None:
    server = Server()
    fleet(server)
    pod(server, 0)
    server.put("/api/v1/nodes/n1", {"metadata": {"name": "n1"}, "spec": {"unschedulable": True}})
    one = listener(server)
    await one.list_all()

    assert list(one.snapshots.fleets) == [KEY]
    assert len(one.snapshots.pods[KEY]) == 1
    assert one.snapshots.nodes["n1"].cordoned
    assert await queued(one) == [KEY]


async def test_a_list_drops_what_was_deleted_while_nobody_listened() -> None:
    server = Server()
    fleet(server)
    pod(server, 0)
    one = listener(server)
    await one.list_all()
    await queued(one)
    server.remove(FLEET)
    server.remove(f"{PODS}/rec-0")
    await one.list_all()

    assert one.snapshots.fleets == {}
    assert one.snapshots.pods == {}
    assert await queued(one) == [KEY]


async def test_without_the_right_to_list_nodes_it_goes_on() -> None:
    server = Server()
    server.nodes_hidden = True
    fleet(server)
    one = listener(server)
    await one.list_all()

    assert not one.snapshots.nodes_known
    assert list(one.snapshots.fleets) == [KEY]


async def test_events_bring_a_fleet_into_the_queue_once_and_only_with_news() -> None:
    server = Server()
    one = listener(server)
    one.on_fleet(Kind.EGRESS_FLEET, "ADDED", fleet(server))
    there = pod(server, 0)
    one.on_pod("ADDED", there)
    assert await queued(one) == [KEY]
    one.on_pod("MODIFIED", there)
    assert await queued(one) == []
    one.on_pod("DELETED", there)
    assert await queued(one) == [KEY]
    one.on_fleet(Kind.EGRESS_FLEET, "DELETED", server.objects[FLEET])
    assert await queued(one) == [KEY]
    assert one.snapshots.fleets == {}


async def test_a_node_wakes_the_fleets_that_have_pods_on_it() -> None:
    server = Server()
    one = listener(server)
    one.on_pod("ADDED", pod(server, 0))
    await queued(one)
    node: dict[str, Any] = {"metadata": {"name": "n1"}, "spec": {}}
    one.on_node("ADDED", node)
    assert await queued(one) == [KEY]
    one.on_node("MODIFIED", node)
    assert await queued(one) == [], "a heartbeat is no news"
    one.on_node("MODIFIED", {**node, "spec": {"unschedulable": True}})
    assert await queued(one) == [KEY]


async def test_a_resource_it_cannot_read_is_left_as_it_was() -> None:
    server = Server()
    one = listener(server)
    one.on_fleet(Kind.EGRESS_FLEET, "ADDED", fleet(server))
    await queued(one)
    odd = server.put(FLEET, {"spec": {"replicas": "some"}})
    one.on_fleet(Kind.EGRESS_FLEET, "MODIFIED", odd)

    assert await queued(one) == []
    assert KEY in one.snapshots.fleets


@pytest.mark.looptime
async def test_it_lists_again_when_a_watch_started_over_and_every_few_minutes() -> None:
    server = Server()
    one = listener(server)
    task = asyncio.create_task(one.keep_listing())
    await asyncio.sleep(RESYNC_SECONDS / 2)
    assert server.lists == 0
    for slot in range(3):
        # kopf gives the first list of a watch as events without a type.
        one.on_pod(None, pod(server, slot))
    await asyncio.sleep(RELIST_SECONDS + 1)
    assert server.lists == 1
    await asyncio.sleep(RESYNC_SECONDS + 1)
    assert server.lists == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    one.queue.close()


async def test_a_fleet_without_a_desk_is_looked_at_when_another_comes_changes_or_goes() -> None:
    server = Server()
    native = {
        "metadata": {"name": "native", "namespace": "media", "generation": 1},
        "spec": {"redis": {"address": "redis:6379"}, "placement": {"engine": "native"}},
    }
    key = FleetKey(Kind.EGRESS_FLEET, "media", "native")
    one = listener(server)
    one.on_fleet(Kind.EGRESS_FLEET, "ADDED", server.put(paths.fleet(key).path, native))
    assert await queued(one) == [key]
    raw = fleet(server)
    one.on_fleet(Kind.EGRESS_FLEET, "ADDED", raw)
    assert set(await queued(one)) == {KEY, key}
    one.on_fleet(Kind.EGRESS_FLEET, "MODIFIED", fleet(server))
    assert await queued(one) == [KEY], "of its status it need not know"
    one.on_fleet(Kind.EGRESS_FLEET, "DELETED", raw)
    assert set(await queued(one)) == {KEY, key}

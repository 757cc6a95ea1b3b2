"""`mediafleet drain`: one pod is marked, and followed until it is gone."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tests.kit.operator.kube_server import KubeServer

from mediafleet.actions.drain import NotOursError, follow, mark
from mediafleet_common.kube.client import Api
from mediafleet_common.kube.errors import GoneError

POD = "/api/v1/namespaces/media/pods/rec-0"
FLEET = "/apis/mediafleet.dev/v1alpha1/namespaces/media/egressfleets/rec"
LABELS = {
    "mediafleet.dev/kind": "egress",
    "mediafleet.dev/fleet": "rec",
    "mediafleet.dev/state": "ready",
}


def cluster(labels: dict[str, str] | None = None) -> tuple[KubeServer, Api]:
    server = KubeServer()
    meta = {"name": "rec-0", "namespace": "media", "labels": LABELS if labels is None else labels}
    server.put(POD, {"metadata": meta})
    server.put(FLEET, {"metadata": {"name": "rec", "namespace": "media"}})
    tell(server, 2)
    return server, cast("Api", server)


def tell(server: KubeServer, load: int | None) -> None:
    pod: dict[str, Any] = {"name": "rec-0"} if load is None else {"name": "rec-0", "load": load}
    server.objects[FLEET]["status"] = {"pods": [pod]}


async def test_a_pod_is_cordoned_and_let_back() -> None:
    server, api = cluster()
    await mark(api, "media", "rec-0", cordoned=True)
    annotations = server.objects[POD]["metadata"]["annotations"]
    assert annotations == {"mediafleet.dev/cordoned": "true"}
    await mark(api, "media", "rec-0", cordoned=False)
    assert server.objects[POD]["metadata"]["annotations"] == {}


async def test_a_pod_of_somebody_else_is_not_touched() -> None:
    server, api = cluster(labels={})
    with pytest.raises(NotOursError, match="media/rec-0 is of no fleet"):
        await mark(api, "media", "rec-0", cordoned=True)
    assert server.writes == []
    with pytest.raises(GoneError):
        await mark(api, "media", "rec-1", cordoned=True)


@pytest.mark.parametrize("comes_back", [False, True])
async def test_each_change_is_one_line_until_the_pod_is_gone(comes_back: bool) -> None:
    server, api = cluster()
    uid = await mark(api, "media", "rec-0", cordoned=True)

    def drained() -> None:
        server.put(POD, {"metadata": {"labels": {"mediafleet.dev/state": "draining"}}})

    def deleted() -> None:
        server.put(POD, {"metadata": {"deletionTimestamp": "2026-08-01T00:00:00Z"}})

    def gone() -> None:
        server.remove(POD)
        if comes_back:
            # Another pod takes the slot.
            meta = {"name": "rec-0", "namespace": "media", "labels": LABELS}
            server.put(POD, {"metadata": meta})

    steps = iter((drained, lambda: tell(server, 0), lambda: tell(server, None), deleted, gone))
    lines = []
    async for line in follow(api, "media", "rec-0", uid, every_seconds=0):
        lines.append(line)
        next(steps, lambda: None)()
    assert lines == [
        "rec-0 is ready, 2 jobs, sessions or tasks",
        "rec-0 is draining, 2 jobs, sessions or tasks",
        "rec-0 is draining, 0 jobs, sessions or tasks",
        "rec-0 is draining, unknown load",
        "rec-0 is being deleted",
        "rec-0 is gone",
    ]

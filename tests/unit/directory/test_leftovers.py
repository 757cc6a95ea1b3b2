"""Pods and fleets that come and go leave nothing in a desk or an advertiser."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.kit.egress.scene import eventually
from tests.kit.sizes import sizes

from mediafleet_common.kube.watch import Changed, Listed
from mediafleet_scheduler.directory.fleets.kube import KubeEgressDirectory
from mediafleet_scheduler.directory.kube import KubePoolDirectory

MANY = 1000


def raw(name: str, version: int, owner: str, **more: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": name,
            "resourceVersion": str(version),
            "ownerReferences": [
                {"apiVersion": "mediafleet.dev/v1alpha1", "uid": owner, "controller": True}
            ],
            "labels": {"mediafleet.dev/fleet": owner, "mediafleet.dev/state": "ready"},
            "annotations": {"mediafleet.dev/address": f"https://{name}:1"},
        },
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        **more,
    }


@pytest.mark.parametrize("of", ["pool", "egress"])
async def test_a_thousand_pods_and_fleets_leave_no_trace(of: str) -> None:
    registry = CollectorRegistry()
    made: Any = (
        KubePoolDirectory("ns", "orch", registry)
        if of == "pool"
        else KubeEgressDirectory(("ns",), registry=registry)
    )
    fleets, pods = (kind.collection for kind in made._kinds)
    spec = {"redis": {"address": "redis:6379"}, "replicas": 1} if of == "egress" else {}
    for each in made._kinds:
        made._take(Listed(each.collection, 1, []))
    before = sizes(made, registry)
    held = 0
    for number in range(MANY):
        fleet = f"fleet-{number}" if of == "egress" else "orch"
        news = {
            fleets: raw(fleet, 10 * number + 2, "", spec=spec),
            pods: raw(f"pod-{number}", 10 * number + 3, fleet),
        }
        for collection, each in news.items():
            made._take(Changed(collection, each))
        if of == "egress" and number % 100 == 0:
            await eventually(lambda: not made._pace.waiting())
        held = held or sum(sizes(made).values())
        for collection, each in reversed(news.items()):
            made._take(Changed(collection, each, deleted=True))
    for each in made._kinds:
        made._take(Listed(each.collection, 10**6, []))
    assert held > sum(before.values())
    if of == "egress":
        await eventually(lambda: not made._pace.waiting())
        made._pace.forget_rested(float("inf"))  # as each list does
    assert sizes(made, registry) == before

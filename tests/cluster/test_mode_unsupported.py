"""Condition ModeUnsupported, as a desk writes it, on a real API server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kit.cluster.product import ROOT
from tests.kit.fleets import manifests

from mediafleet_common.api.egress.placement import Mode, Placement, PlacementEngine
from mediafleet_common.api.names import FIELD_MANAGER
from mediafleet_scheduler.core.egress.views import Fleet
from mediafleet_scheduler.directory.conditions import report_mode
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node


async def test_a_mode_that_pods_do_not_know_stands_beside_the_conditions_of_the_operator(
    node: Node, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.kubectl("apply", "-f", str(ROOT / "crds"), "--server-side", "--force-conflicts")
    node.kubectl("wait", "--for=condition=Established", "crd/egressfleets.mediafleet.dev")
    placement = {"engine": "native", "mode": "spread", "cpu": 16}
    made = manifests.egress_fleet("rec", "redis:6379", 1, placement=placement)
    workspace.apply(made)
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "AsWanted",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    identity = {key: made[key] for key in ("apiVersion", "kind")}
    status = {**identity, "metadata": {"name": "rec"}, "status": {"conditions": [ready]}}
    how = ("--server-side", "--subresource=status", f"--field-manager={FIELD_MANAGER}")
    where = ("-n", workspace.name)
    node.kubectl("apply", *where, *how, "-f", "-", stdin=json.dumps(status))
    monkeypatch.setenv("KUBECONFIG", str(node.kubeconfig))
    native = Placement(engine=PlacementEngine.NATIVE, mode=Mode.SPREAD)
    fleet = Fleet(workspace.name, "rec", native, frozenset(), None, ())

    def conditions() -> dict[str, dict[str, Any]]:
        seen = node.get(*where, "egressfleets.mediafleet.dev", "rec")
        return {each["type"]: each for each in seen["status"]["conditions"]}

    for known, said in ((False, ("True", "ModeIgnored")), (True, ("False", "ModeKnown"))):
        await report_mode(fleet, known)
        found = conditions()
        assert found.keys() == {"Ready", "ModeUnsupported"}
        assert (found["ModeUnsupported"]["status"], found["ModeUnsupported"]["reason"]) == said
        assert found["Ready"] == ready

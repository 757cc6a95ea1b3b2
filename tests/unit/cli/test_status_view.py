"""What `mediafleet status` shows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from mediafleet.commands import app
from mediafleet.live.rollout import Progress, progress
from mediafleet.tools import status as command
from mediafleet.tools.status_view import ALARMING, FleetLine, duration, lines
from mediafleet_common.api.names import Condition

NOW = 1_785_542_400.0  # 2026-08-01T00:00:00Z


def fleet(name: str = "rec", **more: Any) -> dict[str, Any]:
    return {
        "kind": "EgressFleet",
        "metadata": {"name": name, "namespace": "media", "generation": 2},
        "spec": {"replicas": 2},
        "status": {
            "observedGeneration": 2,
            "readyReplicas": 1,
            "draining": 1,
            "jobs": 3,
            "mode": "spread",
            "pods": [
                {"name": "rec-0", "state": "ready", "load": 2},
                {"name": "rec-10", "state": "draining"},
            ],
            "conditions": [
                {"type": "Ready", "status": "False", "message": "1 of 2 pods Ready."},
                {"type": "Degraded", "status": "False", "message": "No pod is in trouble."},
                {"type": "Draining", "status": "True", "message": "Waiting until idle: rec-10."},
            ],
            **more,
        },
    }


def pod(name: str, state: str, *, ready: bool = True, **meta: Any) -> dict[str, Any]:
    labels = {
        "mediafleet.dev/kind": "egress",
        "mediafleet.dev/fleet": "rec",
        "mediafleet.dev/state": state,
    }
    return {
        "metadata": {
            "name": name,
            "namespace": "media",
            "labels": labels,
            "creationTimestamp": "2026-07-31T23:58:00Z",
            **meta,
        },
        "spec": {"nodeName": "n1"},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


DRAINING = {
    "mediafleet.dev/drain-started": "2026-07-31T23:59:30.000Z",
    "mediafleet.dev/drain-reason": "template",
}
PODS = [pod("rec-10", "draining", annotations=DRAINING), pod("rec-0", "ready")]


def one(*pods: dict[str, Any], **more: Any) -> FleetLine:
    return lines([fleet(**more)], pods, NOW)[0]


def test_what_several_conditions_say_is_said_once() -> None:
    why = "ImagePull: rec-0 (not found)."
    said = [("Ready", "False", f"0 of 1 pods Ready. {why}"), ("Degraded", "True", why)]
    said += [("ScalingActive", "False", "There is no KEDA.")]
    conditions = [{"type": a, "status": b, "message": c} for a, b, c in said]
    raw = fleet()
    scaling = {"wanted": 1, "engine": "keda", "why": "There is no KEDA."}
    raw["status"] |= {"conditions": conditions, "autoscaling": scaling}
    (line,) = lines([raw], [], 0.0)
    assert [each.partition(":")[0] for each in line.notes] == ["Ready", "ScalingActive"]


def test_a_pool_of_ai_workers_has_tasks() -> None:
    resource = {**fleet(inUse=2), "kind": "AIWorkerPool"}
    (line,) = lines([resource], (), NOW)
    assert line.load == 2
    head, *_ = command._shown(line, wide=False)
    assert str(head).endswith("1 of 2 Ready, 1 draining, mode spread, 2 tasks")


def test_the_reckoning_of_autoscaling_is_shown_and_why_it_holds() -> None:
    said = {"engine": "builtin", "wanted": 3, "why": "8 running, 0 waiting."}
    assert "Autoscaling (builtin): 8 running, 0 waiting." in one(autoscaling=said).notes
    held = {"type": "ScalingActive", "status": "False", "message": "Demand is unknown."}
    notes = one(autoscaling={"engine": "builtin"}, conditions=[held]).notes
    assert notes == ("ScalingActive: Demand is unknown.",)


def test_pods_are_shown_with_load_and_who_drains_since_when_and_why() -> None:
    first, second = one(*PODS).pods

    assert (first.name, first.state, first.load) == ("rec-0", "ready", 2)
    assert (second.name, second.state, second.load) == ("rec-10", "draining", None)
    assert (second.since, second.why) == (DRAINING["mediafleet.dev/drain-started"], "template")
    assert second.age_seconds == 120


@pytest.mark.parametrize(
    ("raw", "state"),
    [
        (pod("rec-0", "ready", ready=False), "not ready"),
        (pod("rec-0", "ready", deletionTimestamp="x"), "going"),
        (pod("rec-0", "pending", ready=False), "pending"),
    ],
)
def test_the_state_of_a_pod_is_what_a_person_would_say(raw: dict[str, Any], state: str) -> None:
    assert one(raw).pods[0].state == state


def test_only_what_is_worth_a_line_is_noted() -> None:
    assert one().notes == ("Ready: 1 of 2 pods Ready.", "Draining: Waiting until idle: rec-10.")


def test_a_fleet_that_nobody_looks_at_says_so() -> None:
    orphan = fleet()
    orphan["status"] = {}

    assert "no operator has looked at it" in lines([orphan], [], NOW)[0].notes[-1]
    assert "last change" in one(observedGeneration=1).notes[-1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (-3, "0s"), (12, "12s"), (190, "3m10s"), (7500, "2h5m"), (4 * 86400, "4d")],
)
def test_durations_are_said_as_kubectl_says_them(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def shown(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(command, "_fetch", lambda *_: ([fleet()], PODS))
    monkeypatch.setenv("COLUMNS", "120")
    result = CliRunner().invoke(app, ["status", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch)

    assert "EgressFleet media/rec  1 of 2 Ready, 1 draining, mode spread, 3 jobs" in text
    assert "! Draining: Waiting until idle: rec-10." in text
    assert "NODE" not in text
    assert "n1" in shown(monkeypatch, "-o", "wide")


def test_json_and_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.loads(shown(monkeypatch, "-o", "json"))

    assert data[0]["pods"][1]["why"] == "template"
    assert "why: template" in shown(monkeypatch, "-o", "yaml")


def test_nothing_there_is_told_of_the_namespace_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "_fetch", lambda *_: ([], []))

    told = CliRunner().invoke(app, ["status", "-n", "live"]).output
    assert told.startswith("There is no fleet and no pool in namespace live;")
    assert CliRunner().invoke(app, ["status"]).output.startswith("There is no fleet and no pool;")


@pytest.mark.parametrize(
    ("finalizers", "waits"),
    [
        ([], ", after its pods"),
        (["foregroundDeletion"], ", after its pods"),
        (
            ["example.com/hold"],
            ", and waits for who set finalizer example.com/hold; mediafleet sets none",
        ),
        (["a/b", "c/d"], ", and waits for who set finalizers a/b, c/d; mediafleet sets none"),
    ],
)
def test_a_fleet_that_is_being_deleted_says_what_holds_it(
    finalizers: list[str], waits: str
) -> None:
    # A deletion is a change of its own: the operator leaves the fleet, and its status, as they are.
    meta = {"deletionTimestamp": "2026-08-01T00:00:00Z", "finalizers": finalizers, "generation": 3}
    raw = fleet()
    raw["metadata"] |= meta
    assert lines([raw], PODS, NOW)[0].notes == (f"it is being deleted{waits}",)
    assert progress(raw, PODS) == Progress(
        f"EgressFleet rec: it is being deleted{waits}", stopped=True
    )


def test_an_unknown_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_fetch", lambda *_: ([fleet()], PODS))

    result = CliRunner().invoke(app, ["status", "nobody", "-n", "live"])
    assert (result.exit_code, result.output) == (
        1,
        "no fleet or pool is called nobody in namespace live\n",
    )


def test_without_a_cluster_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    result = CliRunner().invoke(app, ["status"])

    assert result.exit_code == 1
    assert "set KUBECONFIG or give --kubeconfig" in result.output


def test_every_condition_is_worth_a_line_in_one_of_its_states() -> None:
    assert ALARMING.keys() == set(Condition)

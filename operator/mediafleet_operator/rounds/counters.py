"""What the metrics say of a fleet's plan and of its drains."""

from __future__ import annotations

import contextlib
from typing import Final

from mediafleet_common.api.names import KIND_LABELS, Reason
from mediafleet_operator.core.fleet.actions import Action, Delete, Undrain
from mediafleet_operator.core.fleet.model import FleetKey, Observation
from mediafleet_operator.core.fleet.plan import Plan
from mediafleet_operator.core.fleet.state import FleetState
from mediafleet_operator.rounds import metrics

STATES: Final = ("wanted", "ready", "pending", "draining", "going", "lost")


def _labels(key: FleetKey) -> tuple[str, str]:
    return KIND_LABELS[key.kind].value, f"{key.namespace}/{key.name}"


def count(key: FleetKey, planned: Plan) -> None:
    """How many pods of a fleet are in which state."""
    roster = planned.roster
    serving = sum(pod.serving for pod in roster.counted)
    counts = {
        "wanted": planned.wanted,
        "ready": serving,
        "pending": len(roster.counted) - serving,
        "draining": len(roster.draining),
        "going": len(roster.going),
        "lost": len(roster.lost),
    }
    for state, count in counts.items():
        metrics.fleet_replicas.labels(*_labels(key), state).set(count)


def count_drain(kind: str, action: Action, now: float) -> None:
    """An action that ended a drain, if it did."""
    if isinstance(action, Undrain):
        metrics.drains.labels(kind, "cancelled").inc()
    if isinstance(action, Delete) and action.pod.drain_started is not None:
        result = "timed_out" if action.reason is Reason.DRAIN_TIMED_OUT else "idle"
        metrics.drains.labels(kind, result).inc()
        metrics.drain_seconds.labels(kind).observe(max(now - action.pod.drain_started, 0.0))


def note_idle(state: FleetState, action: Action) -> None:
    """Remember a pod that was deleted as idle."""
    if isinstance(action, Delete) and action.reason is Reason.DRAIN_FINISHED:
        state.idle_deleted.add(action.pod.uid)


def count_late_sessions(state: FleetState, observation: Observation, planned: Plan) -> None:
    """Count pods that were deleted as idle and have a session after all, each once.

    Between the last idle reading and the deletion a gateway may still call a node that it knows.
    The node's preStop hook waits for such a session.
    """
    going = {pod.uid: pod for pod in planned.roster.going}
    waiting = state.idle_deleted & going.keys()
    late = {uid for uid in waiting if observation.jobs(going[uid])}
    kind = KIND_LABELS[observation.fleet.key.kind].value
    metrics.drain_latecomers.labels(kind).inc(len(late))
    state.idle_deleted = waiting - late


def forget(key: FleetKey) -> None:
    """The fleet is gone, and its series with it."""
    for state in STATES:
        with contextlib.suppress(KeyError):
            metrics.fleet_replicas.remove(*_labels(key), state)

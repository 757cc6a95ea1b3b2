"""Counts what becomes of fleets: their pods, their drains, their autoscaling."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Final

from prometheus_client import Gauge

from mediafleet_common.api.names import KIND_LABELS, Reason
from mediafleet_common.api.scaling.autoscaling import Engine
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_operator.core.autoscaling.model import Scaling
from mediafleet_operator.core.fleet.actions import Action, Delete, Rescale, Undrain
from mediafleet_operator.core.fleet.model import FleetKey, Observation
from mediafleet_operator.core.fleet.state import FleetState
from mediafleet_operator.core.plan import Plan
from mediafleet_operator.rounds.metrics import OperatorMetrics

STATES: Final = ("wanted", "ready", "pending", "draining", "going", "lost")


@dataclass(frozen=True, slots=True)
class FleetCounts:
    """The series of pods and drains."""

    metrics: OperatorMetrics

    def count(self, key: FleetKey, planned: Plan) -> None:
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
            self.metrics.fleet_replicas.labels(*_labels(key), state).set(count)

    def count_drain(self, kind: str, action: Action, now: float) -> None:
        """An action that ended a drain, if it did."""
        if isinstance(action, Undrain):
            self.metrics.drains.labels(kind, "cancelled").inc()
        if isinstance(action, Delete) and action.pod.drain_started is not None:
            result = "timed_out" if action.reason is Reason.DRAIN_TIMED_OUT else "idle"
            self.metrics.drains.labels(kind, result).inc()
            self.metrics.drain_seconds.labels(kind).observe(
                max(now - action.pod.drain_started, 0.0)
            )

    def count_late_sessions(
        self, state: FleetState, observation: Observation, planned: Plan
    ) -> None:
        """Count pods that were deleted as idle and have a session after all, each once.

        Between the last idle reading and the deletion a gateway may still call a node that it
        knows.
        The node's preStop hook waits for such a session.
        """
        going = {pod.uid: pod for pod in planned.roster.going}
        waiting = state.idle_deleted & going.keys()
        late = {uid for uid in waiting if observation.jobs(going[uid])}
        kind = KIND_LABELS[observation.fleet.key.kind].value
        self.metrics.drain_late_sessions.labels(kind).inc(len(late))
        state.idle_deleted = waiting - late

    def forget(self, key: FleetKey) -> None:
        """The fleet is gone, and its series with it."""
        for state in STATES:
            with contextlib.suppress(KeyError):
                self.metrics.fleet_replicas.remove(*_labels(key), state)


def note_idle(state: FleetState, action: Action) -> None:
    """Remember a pod that was deleted as idle."""
    if isinstance(action, Delete) and action.reason is Reason.DRAIN_FINISHED:
        state.idle_deleted.add(action.pod.uid)


@dataclass(frozen=True, slots=True)
class ScaleCounts:
    """The series of autoscaling."""

    metrics: OperatorMetrics
    clock: Clock = SYSTEM

    def count(
        self,
        key: FleetKey,
        state: FleetState,
        scaling: Scaling,
        target: float | None,
        ready: int,
    ) -> None:
        """One look at a fleet: `target` is that of the HPA that goes by our metric, `None` where
        nobody may; `ready` are the pods that take work."""
        labels = _labels(key)
        self.metrics.autoscaling_replicas.labels(*labels).set(scaling.past.replicas or 0)
        for engine in Engine:
            if engine is not scaling.engine:
                _drop(self.metrics.autoscaling_active, (*labels, engine.value))
        active = self.metrics.autoscaling_active.labels(*labels, scaling.engine.value)
        active.set(scaling.active)
        if scaling.past.last_change is not None:
            self.metrics.autoscaling_last_change.labels(*labels).set(scaling.past.last_change)
        if scaling.wanted is None or target is None:
            # A series that stays would tell an HPA a number that is unknown.
            _drop(self.metrics.autoscaling_demand, _for_an_hpa(key))
        else:
            self.metrics.autoscaling_demand.labels(*_for_an_hpa(key)).set(scaling.wanted * target)
        if scaling.forecast is None:
            _drop(self.metrics.autoscaling_forecast, labels)
        else:
            self.metrics.autoscaling_forecast.labels(*labels).set(scaling.forecast)
        if scaling.wanted is None:
            _drop(self.metrics.autoscaling_wanted, labels)
            return
        self.metrics.autoscaling_wanted.labels(*labels).set(scaling.wanted)
        self._time(key, state, scaling.wanted, ready)

    def changed(self, key: FleetKey, rescale: Rescale) -> None:
        """The built-in engine wrote a number."""
        direction = "up" if rescale.after > rescale.before else "down"
        self.metrics.autoscaling_changes.labels(KIND_LABELS[key.kind].value, direction).inc()

    def forget(self, key: FleetKey) -> None:
        """Nobody scales the fleet any more."""
        labels = _labels(key)
        _drop(self.metrics.autoscaling_demand, _for_an_hpa(key))
        for gauge in (
            self.metrics.autoscaling_wanted,
            self.metrics.autoscaling_forecast,
            self.metrics.autoscaling_replicas,
            self.metrics.autoscaling_last_change,
        ):
            _drop(gauge, labels)
        for engine in Engine:
            _drop(self.metrics.autoscaling_active, (*labels, engine.value))

    def _time(self, key: FleetKey, state: FleetState, wanted: int, ready: int) -> None:
        now, since = self.clock.monotonic(), state.short_since
        if wanted > ready:
            state.short_since = now if since is None else since
            return
        state.short_since = None
        if since is not None:
            self.metrics.demand_to_capacity.labels(KIND_LABELS[key.kind].value).observe(now - since)


def _labels(key: FleetKey) -> tuple[str, str]:
    return KIND_LABELS[key.kind].value, f"{key.namespace}/{key.name}"


def _for_an_hpa(key: FleetKey) -> tuple[str, str, str]:
    return KIND_LABELS[key.kind].value, key.namespace, key.name


def _drop(gauge: Gauge, labels: tuple[str, ...]) -> None:
    with contextlib.suppress(KeyError):
        gauge.remove(*labels)

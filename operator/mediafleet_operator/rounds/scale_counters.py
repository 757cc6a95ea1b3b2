"""What the metrics say of a fleet's autoscaling."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Final

from prometheus_client import Gauge

from mediafleet_common.api.autoscaling import Engine
from mediafleet_common.api.names import KIND_LABELS
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_operator.core.autoscaling.model import Scaling
from mediafleet_operator.core.fleet.actions import Rescale
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.core.fleet.state import FleetState
from mediafleet_operator.rounds import scale_metrics as metrics

_GAUGES: Final = (
    metrics.autoscaling_wanted,
    metrics.autoscaling_replicas,
    metrics.autoscaling_last_change,
)


@dataclass(slots=True)
class ScaleCounts:
    """Keeps the series of all fleets."""

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
        metrics.autoscaling_replicas.labels(*labels).set(scaling.past.replicas or 0)
        for engine in Engine:
            if engine is not scaling.engine:
                _drop(metrics.autoscaling_active, (*labels, engine.value))
        active = metrics.autoscaling_active.labels(*labels, scaling.engine.value)
        active.set(scaling.active)
        if scaling.past.last_change is not None:
            metrics.autoscaling_last_change.labels(*labels).set(scaling.past.last_change)
        if scaling.wanted is None or target is None:
            # A series that stays would tell an HPA something that nobody knows.
            _drop(metrics.autoscaling_demand, _for_an_hpa(key))
        else:
            metrics.autoscaling_demand.labels(*_for_an_hpa(key)).set(scaling.wanted * target)
        if scaling.wanted is None:
            _drop(metrics.autoscaling_wanted, labels)
            return
        metrics.autoscaling_wanted.labels(*labels).set(scaling.wanted)
        self._time(key, state, scaling.wanted, ready)

    def changed(self, key: FleetKey, rescale: Rescale) -> None:
        """The built-in engine wrote a number."""
        direction = "up" if rescale.after > rescale.before else "down"
        metrics.autoscaling_changes.labels(KIND_LABELS[key.kind].value, direction).inc()

    def forget(self, key: FleetKey) -> None:
        """Nobody scales the fleet any more."""
        labels = _labels(key)
        _drop(metrics.autoscaling_demand, _for_an_hpa(key))
        for gauge in _GAUGES:
            _drop(gauge, labels)
        for engine in Engine:
            _drop(metrics.autoscaling_active, (*labels, engine.value))

    def _time(self, key: FleetKey, state: FleetState, wanted: int, ready: int) -> None:
        now, since = self.clock.monotonic(), state.short_since
        if wanted > ready:
            state.short_since = now if since is None else since
            return
        state.short_since = None
        if since is not None:
            metrics.demand_to_capacity.labels(KIND_LABELS[key.kind].value).observe(now - since)


def _labels(key: FleetKey) -> tuple[str, str]:
    return KIND_LABELS[key.kind].value, f"{key.namespace}/{key.name}"


def _for_an_hpa(key: FleetKey) -> tuple[str, str, str]:
    return KIND_LABELS[key.kind].value, key.namespace, key.name


def _drop(gauge: Gauge, labels: tuple[str, ...]) -> None:
    with contextlib.suppress(KeyError):
        gauge.remove(*labels)

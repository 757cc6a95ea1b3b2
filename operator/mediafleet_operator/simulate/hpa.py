"""A HorizontalPodAutoscaler's arithmetic for one metric with AverageValue. Pure.

Source: kubernetes pkg/controller/podautoscaler (replica_calculator.go
GetExternalPerPodMetricReplicas, horizontal.go convertDesiredReplicasWithBehaviorRate). It stands in
for the controller in tables and benches; the cluster tier asks the real one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

SYNC_SECONDS: Final = 15.0
DEFAULT_TOLERANCE: Final = 0.1


def average_value(value: float, target: float, status_replicas: int, tolerance: float) -> int:
    """Replicas by a metric with AverageValue: within the tolerance those of the *status*."""
    if status_replicas > 0:
        usage = value / (target * status_replicas)
        if 1.0 - tolerance <= usage <= 1.0 + tolerance:
            return status_replicas
    return math.ceil(value / target)


@dataclass(frozen=True, slots=True)
class Behavior:
    """`spec.behavior`, as far as it is used: one policy of type Pods in each direction."""

    up_pods: int = 1_000_000
    up_period_seconds: float = 15.0
    down_pods: int = 1_000_000
    down_period_seconds: float = 15.0
    up_window_seconds: float = 0.0
    down_window_seconds: float = 300.0
    tolerance: float = 0.0


@dataclass(slots=True)
class Hpa:
    """One HPA: `sync` gives what it writes into `spec.replicas`."""

    low: int
    high: int
    behavior: Behavior = field(default_factory=Behavior)
    _advice: list[tuple[float, int]] = field(default_factory=list)
    _changes: list[tuple[float, int]] = field(default_factory=list)

    def sync(self, value: float | None, target: float, spec: int, status: int, now: float) -> int:
        """One look. `value` is `None` while there is no metric: it then changes nothing."""
        if spec == 0 or value is None:
            return spec
        if spec > self.high:
            return self.high
        if spec < self.low:
            return self.low
        wanted = average_value(value, target, status, self.behavior.tolerance)
        self._advice.append((now, wanted))
        behavior = self.behavior
        up = [w for at, w in self._advice if at > now - behavior.up_window_seconds or at == now]
        down = [w for at, w in self._advice if at > now - behavior.down_window_seconds or at == now]
        calm = max(min(up), min(spec, max(down)))
        result = max(self.low, min(self._limited(calm, spec, now), self.high))
        if result != spec:
            self._changes.append((now, result - spec))
        return result

    def _limited(self, wanted: int, spec: int, now: float) -> int:
        behavior = self.behavior
        if wanted > spec:
            since = now - behavior.up_period_seconds
            start = spec - sum(by for at, by in self._changes if at > since)
            return max(spec, min(wanted, start + behavior.up_pods))
        since = now - behavior.down_period_seconds
        start = spec - sum(by for at, by in self._changes if at > since)
        return min(spec, max(wanted, start - behavior.down_pods))

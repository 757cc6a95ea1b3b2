"""What turns demand into `replicas`: the built-in engine, and an HPA with or without KEDA."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from mediafleet_common.api.scaling.autoscaling import Autoscaling
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_operator.core.autoscaling.decision import decide
from mediafleet_operator.core.autoscaling.model import Past, Policy, Situation, Verdict, policy
from mediafleet_operator.core.autoscaling.need import idle, need
from mediafleet_operator.simulate.hpa import SYNC_SECONDS, Behavior, Hpa
from mediafleet_operator.simulate.world import World


class Engine(Protocol):
    """Looks at the world once in each step, and writes its replicas."""

    def step(self, world: World) -> None:
        """A step has gone by."""


@dataclass(slots=True)
class Builtin:
    """The product's own policy, asked every second."""

    asked: Autoscaling
    past: Past = field(default_factory=Past)
    verdict: Verdict | None = None
    """The last one."""
    _policy: Policy | None = None

    def step(self, world: World) -> None:
        """Decide."""
        self._policy = asked = self._policy or policy(self.asked)
        verdict = decide(Situation(asked, world.replicas, world.demand(), self.past, world.now))
        self.verdict, self.past, world.replicas = verdict, verdict.past, verdict.replicas


@dataclass(slots=True)
class ByHpa:
    """An HPA on `wanted`, which it gets to see `late_seconds` late: scrape and adapter."""

    asked: Autoscaling
    late_seconds: int = 15
    tolerance: float = 0.0
    _hpa: Hpa | None = None
    _told: deque[tuple[float, float]] = field(default_factory=deque)

    def step(self, world: World) -> None:
        """Note the metric, and sync when it is time."""
        self._told.append((world.now, float(self.wanted(world.demand()))))
        while len(self._told) > 1 and self._told[1][0] <= world.now - self.late_seconds:
            self._told.popleft()
        if world.now % SYNC_SECONDS == 0:
            self._sync(world)

    def wanted(self, demand: FleetDemand) -> int:
        """Pods that the buffer wants, as the metric says."""
        needed = need(policy(self.asked), demand)
        return needed.pods if needed else demand.ready

    def _sync(self, world: World) -> None:
        asked = policy(self.asked)
        if self._hpa is None:
            behavior = Behavior(
                down_window_seconds=asked.down.window_seconds, tolerance=self.tolerance
            )
            self._hpa = Hpa(max(asked.min, 1), asked.max, behavior)
        status = len(world.counted)
        world.replicas = self._hpa.sync(self._told[0][1], 1.0, world.replicas, status, world.now)


@dataclass(slots=True)
class ByKeda:
    """KEDA: demand is pushed while replicas are 0, above that its HPA asks the desk itself."""

    asked: Autoscaling
    _hpa: ByHpa | None = None
    _active_at: float | None = None

    def step(self, world: World) -> None:
        """Wake, sleep, or leave it to the HPA."""
        if self._hpa is None:
            self._hpa = ByHpa(self.asked, late_seconds=0)
        asked, busy = policy(self.asked), not idle(world.demand())
        if busy or self._active_at is None:
            self._active_at = world.now
        if world.replicas == 0:
            world.replicas = 1 if busy else 0
        elif asked.min == 0 and world.now - self._active_at >= asked.cool_down_seconds:
            world.replicas = 0
        else:
            self._hpa.step(world)

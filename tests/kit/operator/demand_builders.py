"""Short ways to say what a desk says of a fleet, and what autoscaling asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from mediafleet_common.api.names import Kind
from mediafleet_common.api.scaling.autoscaling import Autoscaling
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_operator.core.autoscaling.decision import decide
from mediafleet_operator.core.autoscaling.model import Past, Policy, Situation, Verdict, policy

NOW: Final = 1_800_000_000.0
EACH: Final = 4
"""Jobs of type web that an empty pod takes."""


def asked(**more: Any) -> Policy:
    """A policy: 1 to 20 pods, room for one more job, no stabilisation; `more` as in a resource."""
    calm = {"scaleUp": {"stabilization": "0s"}, "scaleDown": {"stabilization": "0s"}}
    return policy(Autoscaling.model_validate({"min": 1, "max": 20, "behavior": calm, **more}))


def demand(jobs: list[int], queued: int = 0, each: int = EACH, **more: Any) -> FleetDemand:
    """Demand of a fleet whose Ready pods have so many jobs of type web; `each` fit on one."""
    fields = {
        "kind": Kind.EGRESS_FLEET,
        "namespace": "media",
        "name": "rec",
        "known": True,
        "at": NOW,
        "ready": len(jobs),
        "busy": sum(each > 0 for each in jobs),
        "work": sum(jobs),
        "used": float(sum(jobs)),
        "size": float(each),
        "free": {"web": sum(max(each - has, 0) for has in jobs)},
        "each": {"web": each},
        "queued": {"web": queued} if queued else {},
        "queued_cost": float(queued),
        **more,
    }
    return FleetDemand.model_validate(fields)


UNKNOWN: Final = demand([]).model_copy(update={"known": False, "reason": "ledger not rebuilt"})


class Autoscaler:
    """Decides again and again, as the operator does: what it decides is written at once."""

    def __init__(self, asked: Policy, replicas: int, now: float = NOW) -> None:
        self.policy = asked
        self.replicas = replicas
        self.now = now
        self.past = Past()

    def look(self, said: FleetDemand | None, after: float = 1.0) -> Verdict:
        """Decide after so many seconds."""
        self.now += after
        verdict = decide(Situation(self.policy, self.replicas, said, self.past, self.now))
        self.past, self.replicas = verdict.past, verdict.replicas
        return verdict

    def restart(self) -> None:
        """Another process: it knows what lies in the status."""
        self.past = replace(self.past, advice=(), idle_since=None)

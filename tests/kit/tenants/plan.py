"""What an attacking tenant is to do, and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from mediafleet_common.api.names import Kind

_DEEP: Final = {"name": "x", "env": [{"name": f"V{number}", "value": "x"} for number in range(300)]}


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom to attack, with what."""

    kubeconfig: str
    """Of the attacker's account."""
    namespace: str
    """The attacker's own."""
    seconds: float
    redis: str
    """The attacker's own: HOST:PORT."""
    spellings: list[str]
    """Of the victim's Redis: HOST:PORT each."""
    fleet_uid: str
    """Of the victim's fleet; its pods' owner."""
    own_uid: str
    """Of the attacker's own fleet."""
    labels: dict[str, str]
    """Of the victim's pods."""
    desk: str
    """Address of the desk that serves both."""
    advertiser: str
    """Address of the victim's advertiser."""
    tokens: dict[str, str]
    """That the attacker may get hold of, by what they are."""
    attacks: list[str]
    """Which of `attacks.ATTACKS`."""


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    tried: Counter[str] = field(default_factory=Counter)
    seen: list[str] = field(default_factory=list)
    """Reports of others that were answered."""


def hostile_specs(plan: Plan) -> list[tuple[Kind, dict[str, Any]]]:
    """Specs that the API server takes, each bad in a way of its own."""
    fleet, pool = Kind.EGRESS_FLEET, Kind.ORCHESTRATOR_POOL
    templates: list[Any] = [
        {"spec": {"containers": ["x"]}},
        {"spec": {"containers": [{"name": "x", "env": [{}]}]}},
        {"spec": {"containers": [_DEEP]}},
        {"spec": {"containers": [{"name": "egress", "args": 7}], "volumes": [1]}},
        {"spec": {"hostNetwork": True, "serviceAccountName": "mediafleet-operator"}},
    ]
    redises: list[dict[str, Any]] = [{"address": each} for each in plan.spellings]
    redises += [{"ref": "main"}, {"cluster": {"addresses": plan.spellings}}]
    return [
        *((fleet, {"replicas": 1, "template": each}) for each in templates),
        *((pool, {"replicas": 1, "template": each}) for each in templates),
        *((fleet, {"replicas": 0, "redis": each, "priority": 1000000}) for each in redises),
        (fleet, {"replicas": 0, "rooms": ["*a*a*a*a*a*a*a*a"] * 100}),
        (pool, {"replicas": 0, "advertise": {"sources": [{"name": "a", "urls": plan.spellings}]}}),
    ]

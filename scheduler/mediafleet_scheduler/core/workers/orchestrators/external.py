"""What an orchestrator is told of a model that it takes as an external capability (BYOC). Pure.

A registration replaces the one of the same name and sets the orchestrator's count of jobs under way
to 0, while each of them is still subtracted when it ends. An orchestrator that has started anew, or
that once could not reach the URL, has forgotten the capability and tells nobody, so that it is told
again from time to time (livepeer/go-livepeer core/external_capabilities.go,
core/ai_orchestrator.go, byoc/job_orchestrator.go).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Capability:
    """A capability as it is registered, but for its capacity."""

    name: str
    url: str
    """Jobs are posted here, or to a path below."""
    price_per_unit: int
    """For `price_scaling` seconds."""
    price_scaling: int
    currency: str
    token: str | None
    """What jobs come with, as a bearer token."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What an orchestrator was told last."""

    capability: Capability
    capacity: int
    at: float
    """Seconds, on the caller's clock."""


class Next(StrEnum):
    """What an orchestrator is to be told now."""

    NOTHING = "nothing"
    REGISTER = "register"
    UNREGISTER = "unregister"


def next_call(
    wanted: Capability, capacity: int, known: Registered | None, now: float, again_seconds: float
) -> Next:
    """What to tell of a capability whose live workers take `capacity` jobs at a time."""
    if capacity <= 0:
        return Next.NOTHING if known is None else Next.UNREGISTER
    if known is None or (known.capability, known.capacity) != (wanted, capacity):
        return Next.REGISTER
    return Next.REGISTER if now - known.at >= again_seconds else Next.NOTHING


def registration(capability: Capability, capacity: int, under_way: int) -> dict[str, object]:
    """The JSON of a registration, while `under_way` of the orchestrator's jobs have no answer.

    They are taken off the capacity: the orchestrator counts them no more and subtracts each when
    it ends, so that what it has free stays right.
    """
    return {
        "name": capability.name,
        "description": "served by remote workers of a mediafleet broker",
        "url": capability.url,
        "capacity": capacity - under_way,
        "price_per_unit": capability.price_per_unit,
        "price_scaling": capability.price_scaling,
        "currency": capability.currency,
        **({"token": capability.token} if capability.token else {}),
    }

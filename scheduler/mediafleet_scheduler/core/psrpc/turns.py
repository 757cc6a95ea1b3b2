"""How long a tenant that keeps a shared desk busy rests between its turns. Pure.

What is shared is the time of one event loop. Each tenant has an allowance of it, which fills with
time and is spent by what is done for the tenant. Who has spent it rests until it is filled again;
those who need little never notice. Tenants in debt share a part of the loop's time between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_SPEED_SECONDS: Final = 0.2
"""So much work tells the speed of the loop."""
_LEAST_SPEED: Final = 0.05
"""Whoever is in debt gets out of it some day."""


@dataclass(frozen=True, slots=True)
class TurnTimes:
    """How a desk that serves several Redises shares its time among the namespaces that use them."""

    part: float = 0.4
    """Those who want more than their allowance get so much of the desk's time together, in equal
    shares; the rest is for all others. 1: as much as there is."""
    turn_seconds: float = 0.001
    """Messages of one namespace are handled for so long at a time, before others have a turn."""
    allowance_seconds: float = 0.02
    """What a namespace may use at once when it has used little before."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a tenant may use of the loop's time, in seconds."""

    left: float
    """Below zero it is in debt: what is done for a tenant is known when it is done."""
    at: float
    """Monotonic time of `left`."""


def full(times: TurnTimes, now: float) -> Allowance:
    """Of a tenant that has used nothing yet."""
    return Allowance(times.allowance_seconds, now)


def speed(before: float, worked: float, passed: float) -> float:
    """How fast the loop is: seconds that it works in each that passes while it has work.

    Below 1 on a machine that is full, and where another thread has the interpreter. A part of what
    such a loop could do on another day would be all that it can do today.
    """
    if passed <= 0:
        return before
    weight = min(1.0, passed / _SPEED_SECONDS)
    return before + (min(1.0, worked / passed) - before) * weight


def rate(times: TurnTimes, in_debt: int, loop_speed: float = 1.0) -> float:
    """Seconds that an allowance is filled with each second, while so many tenants are in debt."""
    return times.part * max(loop_speed, _LEAST_SPEED) / max(1, in_debt)


def filled(allowance: Allowance, fills: float, times: TurnTimes, now: float) -> Allowance:
    """The allowance at this moment, with nothing used since; `fills` is the rate."""
    gained = max(0.0, now - allowance.at) * fills
    return Allowance(min(times.allowance_seconds, allowance.left + gained), now)


def rest_seconds(allowance: Allowance, fills: float, times: TurnTimes) -> float:
    """How long a tenant rests; 0: not at all.

    One in debt rests until it may use a whole turn: timers know milliseconds.
    """
    return (times.turn_seconds - allowance.left) / fills if allowance.left < 0 else 0.0

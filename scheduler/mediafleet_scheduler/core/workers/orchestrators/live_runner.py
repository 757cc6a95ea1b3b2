"""A model as a live runner of an orchestrator: its heartbeats, and what their answers mean. Pure.

The first heartbeat comes with the orchestrator's own secret and brings another, for those after it.
An orchestrator that removed the runner answers 404. One that has started anew takes the heartbeat
for a first one and answers 401, since its secret is another (livepeer/go-livepeer
ai/runner/live_runner.go, doc/live-runner.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mediafleet_common.api import durations

_READY: Final = "ready"
_NO_WORKERS: Final = "no-workers"
"""Any other status than ready: neither discovery nor a reservation finds the runner then."""


class Unit(StrEnum):
    """What a live runner's price is for."""

    HOUR = "hour"
    PIXELS = "720p"
    """An hour of 720p at 30 frames a second."""
    FIXED = "fixed"
    """A request."""


@dataclass(frozen=True, slots=True)
class Runner:
    """What a model offers as a live runner."""

    app: str
    url: str
    """Requests are posted below it; clients never see it."""
    price: float
    """US dollars."""
    unit: Unit


@dataclass(frozen=True, slots=True)
class Registration:
    """An orchestrator's word on a runner."""

    id: str
    secret: str
    """What further heartbeats come with."""
    interval: float
    """Seconds between two of them."""


class Refusal(StrEnum):
    """What an answer that is none means."""

    UNKNOWN = "unknown"
    """The orchestrator does not know the runner any more: register again."""
    REFUSED = "refused"


def heartbeat(runner: Runner, capacity: int, known: Registration | None) -> dict[str, object]:
    """The JSON of a heartbeat; without workers the runner stays, so that its sessions do."""
    return {
        **({} if known is None else {"runner_id": known.id}),
        "app": runner.app,
        "runner_url": runner.url,
        "mode": "single-shot",
        "status": _READY if capacity > 0 else _NO_WORKERS,
        "capacity": max(1, capacity),
        "price_info": {"price": runner.price, "currency": "usd", "unit": runner.unit.value},
    }


def answered(
    known: Registration | None, status: int, body: Mapping[str, object], interval: float
) -> Registration | Refusal:
    """What follows from the answer to a heartbeat; `interval`: where it names none."""
    if known is not None and status in (401, 404):
        return Refusal.UNKNOWN
    name = body.get("runner_id")
    secret = body.get("heartbeat_secret") or (known and known.secret)
    if status != 200 or not isinstance(name, str) or not isinstance(secret, str):
        return Refusal.REFUSED
    return Registration(name, secret, _seconds(body.get("heartbeat_interval")) or interval)


def _seconds(text: object) -> float | None:
    try:
        return durations.seconds(str(text))
    except ValueError:
        return None

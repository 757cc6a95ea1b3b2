"""What a node's `GET /discovery` tells of its live runners: sessions, and how many they take. Pure.

No metric of go-livepeer counts them. Source: livepeer/go-livepeer server/ai_http.go
(DiscoverLiveRunners), ai/runner/live_runner.go (LiveRunnerDiscoveryRunner).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

_MOST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class LiveRunners:
    """All live runners of a node together."""

    sessions: int
    capacity: int
    """Sessions that they take at most."""


def parse(body: bytes) -> LiveRunners | None:
    """What an answer tells; `None`: it is no such list, so that nothing is known."""
    try:
        entries = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        return None
    runners: list[Any] = []
    for entry in entries:
        listed = entry.get("runners")
        if listed is not None and not isinstance(listed, list):
            return None
        # Go writes a list without entries as null.
        runners += listed or []
    used = [_count(runner, "capacity_used") for runner in runners]
    takes = [_count(runner, "capacity") for runner in runners]
    sessions, capacity = _total(used), _total(takes)
    return None if sessions is None or capacity is None else LiveRunners(sessions, capacity)


def _count(runner: Any, name: str) -> int | None:
    value = runner.get(name) if isinstance(runner, dict) else None
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= _MOST else None


def _total(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None

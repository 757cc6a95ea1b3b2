"""What an egress pod's init container tells of the config that it has merged, as JSON.

Kubelet takes it from the container's termination message into the pod's status, where operator and
desk read it: numbers alone, and nothing of what may be a secret. Imports little, since every egress
pod pays for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

TERMINATION_LOG: Final = "/dev/termination-log"
"""Where kubelet looks by default."""
IO_UPDATE_SECONDS: Final = 30.0
"""livekit/egress' default `io_update_timeout` (pkg/config/service.go, defaultIOUpdateTimeout)."""
MAX_SECONDS: Final = 3600.0
_ROUNDING: Final = 1e-6


def update_seconds(io_update_timeout: float) -> float:
    """How long the end of a job may be on its way to livekit-server, by `io_update_timeout`.

    An update may have to wait for the one before it, so this is twice the timeout, and 5 s. An
    update that was not delivered by then may never be.
    """
    return 2 * io_update_timeout + 5.0


UPDATE_SECONDS: Final = update_seconds(IO_UPDATE_SECONDS)
"""Of a pod whose `io_update_timeout` is unknown."""


@dataclass(frozen=True, slots=True)
class MergedConfig:
    """The part of it that others must know."""

    io_update_seconds: float | None = None
    """livekit/egress' `io_update_timeout`; `None`: unknown."""
    costs: Mapping[str, float] = field(default_factory=dict, hash=False)
    """What the worker counts with: the numbers of `cpu_cost`."""

    def differences(self, wanted: Mapping[str, float]) -> list[str]:
        """Names of the costs that others count otherwise; absent is 0, which means no limit."""
        names = sorted(self.costs.keys() | wanted.keys())
        return [
            name
            for name in names
            if abs(self.costs.get(name, 0.0) - wanted.get(name, 0.0)) > _ROUNDING
        ]


def to_text(config: MergedConfig) -> str:
    """The termination message."""
    report: dict[str, Any] = {"cpu_cost": dict(config.costs)}
    if config.io_update_seconds is not None:
        report["io_update_seconds"] = config.io_update_seconds
    return json.dumps(report, sort_keys=True, separators=(",", ":"))


def of_pod(status: Mapping[str, Any], container: str) -> MergedConfig | None:
    """What a pod's status holds of it; `None`: nothing, as with pods of an older release."""
    for each in status.get("initContainerStatuses") or ():
        if each.get("name") == container:
            ended = (each.get("state") or {}).get("terminated") or {}
            return of_text(str(ended.get("message") or ""))
    return None


def of_text(text: str) -> MergedConfig | None:
    """What a termination message tells; `None`: it is none of ours."""
    try:
        report = json.loads(text)
        costs = {str(name): _number(value) for name, value in report["cpu_cost"].items()}
        seconds = report.get("io_update_seconds")
        timeout = None if seconds is None else _number(seconds)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    if timeout is not None and not 0 < timeout <= MAX_SECONDS:
        timeout = None
    return MergedConfig(timeout, costs)


def _number(value: object) -> float:
    number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number):
        raise ValueError(value)
    return number

"""The drain report: how the last drains of a fleet ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mediafleet_common.api.names import Reason
from mediafleet_common.api.shared import DrainResult, DrainStatus, FleetStatus
from mediafleet_common.formats.times import rfc3339
from mediafleet_operator.core.fleet.actions import Action, Delete, Undrain

MAX_DRAINS: Final = 10


def ended(action: Action, now: float) -> DrainStatus | None:
    """How a drain ended by an action that was carried out; `None`: it ended none."""
    if not isinstance(action, Delete | Undrain) or action.pod.drain_started is None:
        return None
    pod, since = action.pod, action.pod.drain_started
    if isinstance(action, Undrain):
        result, left = DrainResult.CANCELLED, None
    else:
        late = action.reason is Reason.DRAIN_TIMED_OUT
        result, left = (DrainResult.TIMED_OUT if late else DrainResult.IDLE), action.jobs
    return DrainStatus(
        pod=pod.name,
        reason=pod.drain_reason.value if pod.drain_reason else None,
        since=rfc3339(since),
        ended=rfc3339(now),
        result=result,
        left=left,
    )


def newest(previous: FleetStatus | None, more: Sequence[DrainStatus]) -> list[DrainStatus]:
    """The last few drains, newest first; one that comes twice is there once."""
    known = list(previous.drains) if previous else []
    fresh = [each for each in reversed(more) if each not in known]
    return [*fresh, *known][:MAX_DRAINS]

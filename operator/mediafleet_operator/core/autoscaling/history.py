"""What of autoscaling lies in the status, so that it outlives the process."""

from __future__ import annotations

from mediafleet_common.api.scaling.autoscaling import Engine
from mediafleet_common.api.scaling.status import AutoscalingStatus, ScaleChange
from mediafleet_common.formats.times import rfc3339, unix
from mediafleet_operator.core.autoscaling.model import Change, Past, Scaling

MAX_WHY_CHARACTERS = 1000


def status_of(scaling: Scaling) -> AutoscalingStatus:
    """What is written."""
    past = scaling.past
    return AutoscalingStatus(
        engine=scaling.engine.value,
        wanted=scaling.wanted,
        why=scaling.why[:MAX_WHY_CHARACTERS],
        replicas=past.replicas,
        last_scale_time=None if past.last_change is None else _text(past.last_change),
        changes=[
            ScaleChange(time=_text(each.at), added=each.added, removed=each.removed)
            for each in past.changes
        ],
    )


def past_of(status: AutoscalingStatus | None) -> Past:
    """What the next process knows. Its times are of this clock or of another operator's: one from
    the future is dropped by whoever looks at it."""
    if status is None:
        return Past()
    changes = [
        Change(at, each.added, each.removed)
        for each in status.changes
        if (at := unix(each.time)) is not None
    ]
    last = status.last_scale_time
    return Past(status.replicas, tuple(changes), last_change=unix(last))


def engine_of(status: AutoscalingStatus | None) -> Engine:
    """Who was in charge when the status was written."""
    try:
        return Engine(status.engine or "") if status else Engine.NONE
    except ValueError:
        return Engine.NONE


def _text(at: float) -> str:
    return rfc3339(at, "milliseconds")

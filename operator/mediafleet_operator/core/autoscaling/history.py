"""What of autoscaling lies in the status, so that it outlives the process."""

from __future__ import annotations

from dataclasses import replace

from mediafleet_common.api.scaling.autoscaling import Engine
from mediafleet_common.api.scaling.status import (
    AutoscalingStatus,
    ForecastStatus,
    ScaleChange,
)
from mediafleet_common.formats.times import rfc3339, unix
from mediafleet_operator.core.autoscaling.model import Change, Past, Scaling
from mediafleet_operator.core.autoscaling.record import (
    EMPTY,
    QUARTER_SECONDS,
    Record,
    known,
    packed,
    unpacked,
)

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
        forecast=None if scaling.ahead is None else _forecast_status(scaling),
    )


def _forecast_status(scaling: Scaling) -> ForecastStatus:
    record = scaling.past.record
    if not record.end:
        return ForecastStatus(wanted=scaling.forecast)
    return ForecastStatus(
        wanted=scaling.forecast,
        known_hours=known(record.peaks) * QUARTER_SECONDS // 3600,
        end=rfc3339(record.end * QUARTER_SECONDS),
        record=packed(record.peaks),
    )


def past_of(status: AutoscalingStatus | None) -> Past:
    """What the next process knows. Its times are of this clock or of another operator's: one from
    the future is dropped by whoever looks at it."""
    if status is None:
        return Past()
    return Past(
        status.replicas,
        _changes_of(status),
        last_change=unix(status.last_scale_time),
        record=_record_of(status.forecast),
    )


def agreed(own: Past, status: AutoscalingStatus | None) -> Past:
    """What this process knows, beside what stands in the status.

    A second operator without a Lease sees a change of the count at a moment of its own: each would
    write its time over the other's for ever. The later time stands.
    """
    if status is None or status.replicas != own.replicas:
        return own
    at = unix(status.last_scale_time)
    if at is None or (own.last_change is not None and at <= own.last_change):
        return own
    return replace(own, changes=_changes_of(status), last_change=at)


def _changes_of(status: AutoscalingStatus) -> tuple[Change, ...]:
    return tuple(
        Change(at, each.added, each.removed)
        for each in status.changes
        if (at := unix(each.time)) is not None
    )


def _record_of(status: ForecastStatus | None) -> Record:
    """The weeks before, as far as the status tells of them."""
    end = None if status is None else unix(status.end)
    peaks = None if status is None or status.record is None else unpacked(status.record)
    if end is None or peaks is None:
        return EMPTY
    return Record(int(end // QUARTER_SECONDS), peaks)


def engine_of(status: AutoscalingStatus | None) -> Engine:
    """Who was in charge when the status was written."""
    try:
        return Engine(status.engine or "") if status else Engine.NONE
    except ValueError:
        return Engine.NONE


def _text(at: float) -> str:
    return rfc3339(at, "milliseconds")

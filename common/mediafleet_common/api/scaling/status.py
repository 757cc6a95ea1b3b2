"""`status.autoscaling` of a fleet or pool: what autoscaling last decided."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mediafleet_common.api.base import Model


class ScaleChange(Model):
    """What was added to spec.replicas and taken from it within a few seconds."""

    time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When the last of it was seen."""
    added: int = 0
    """Pods more."""
    removed: int = 0
    """Pods fewer."""


class ForecastStatus(Model):
    """What the last weeks let expect, and the record of them."""

    wanted: int | None = None
    """Pods that the forecast wants now, 0 where no rush is usual; absent: too few weeks know this
    hour, or today is not like them."""
    known_hours: int = 0
    """Hours of the last four weeks in which demand was known, of 672."""
    end: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """Until when the record goes."""
    record: Annotated[str, Field(max_length=8192)] | None = None
    """What rushes needed in each quarter hour of four weeks: for the operator alone."""


class AutoscalingStatus(Model):
    """What autoscaling last decided, and what it has to know after a restart."""

    engine: str | None = None
    """Who writes spec.replicas."""
    wanted: int | None = None
    """Pods that are wanted now, before behavior holds anything back; absent while unknown. With
    KEDA or an HPA on another metric: what it wrote to replicas."""
    why: Annotated[str, Field(max_length=1000)] | None = None
    """What decided it, in a sentence."""
    replicas: int | None = None
    """spec.replicas as last seen: a change after this is one to remember."""
    last_scale_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """When spec.replicas was last seen to change."""
    changes: Annotated[list[ScaleChange], Field(max_length=30)] = Field(default_factory=list)
    """Changes of the last minute, which limits per minute are counted by."""
    forecast: ForecastStatus | None = None
    """With spec.autoscaling.forecast: what it wants, and what it knows of the last weeks."""

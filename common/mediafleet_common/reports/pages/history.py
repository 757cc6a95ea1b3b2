"""Pods wanted and had over the last hours, as JSON: `GET /ui/history?namespace=NS&name=NAME` on a
desk's HTTP port. Columns of one length; null is unknown.
"""

from __future__ import annotations

from pydantic import Field

from mediafleet_common.api.base import Model


class DemandHistory(Model):
    """One fleet or pool."""

    at: list[float] = Field(default_factory=list)
    """Unix times."""
    wanted: list[int | None] = Field(default_factory=list)
    """Pods that what runs and waits asks for, whatever the bounds of the resource."""
    ready: list[int | None] = Field(default_factory=list)
    """Pods that take work."""
    busy: list[int | None] = Field(default_factory=list)
    """Pods that have work, and do not drain."""
    work: list[int | None] = Field(default_factory=list)
    """Jobs, sessions or tasks that run."""
    waiting: list[int | None] = Field(default_factory=list)
    """Requests that wait for room."""
    forecast: list[int | None] = Field(default_factory=list)
    """Pods that the fleet's last weeks let expect."""

"""What the page of the AI broker shows: `GET /ui/data` on its HTTP port, as JSON, and the same at
each change on `/ui/events`. It holds neither requests nor addresses.
"""

from __future__ import annotations

from pydantic import Field

from mediafleet_common.api.base import Model


class ModelShown(Model):
    """A model that the broker takes tasks for."""

    name: str
    """Pipeline and model."""
    workers: int
    """Workers that serve it."""
    capacity: int
    """Tasks that those take at a time."""
    in_use: int
    """Tasks that they have."""
    leaving: int
    """How many of those are on workers that are given no more, whose room is not in capacity."""
    waiting: int
    """Tasks that wait for a worker."""
    missed: int
    """Tasks that no worker had room for in time, since the broker started."""


class WorkerShown(Model):
    """A worker that is connected."""

    id: str
    """Its registration, as the broker's log names it behind its address."""
    name: str | None
    """What it calls itself; null: stock workers have no name."""
    known_as: str | None = None
    """Whose its secret is, by the broker's file of workers; null: the secret is shared."""
    models: dict[str, int] = Field(default_factory=dict)
    """Tasks that it takes at a time, by model."""
    in_use: int
    """Tasks that it has."""
    hardware: list[str] = Field(default_factory=list)
    """Names of its GPUs, as it says."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Of its runners, as it says, by model; none of those that it says nothing of."""
    why: str | None = None
    """Why it is given no tasks; null: it takes some."""


class WorkersPage(Model):
    """All that the page shows."""

    models: list[ModelShown] = Field(default_factory=list)
    """By name."""
    workers: list[WorkerShown] = Field(default_factory=list)
    """By name, then those without one."""

"""What a reporter says of itself: `GET /community/status`. Pure."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class _Told(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore"
    )


class Hours(_Told):
    """The hours of the last day that were published."""

    published: int = 0
    """How many."""
    newest: str | None = None
    """Start of the newest."""


class Deletion(_Told):
    """What a collector that was asked to delete has answered."""

    collector: str
    confirmed: bool
    answer: str = ""
    at: str | None = None
    """When, RFC 3339; `None`: it was not asked yet."""


class Delivery(_Told):
    """How sending to one recipient goes, since the sender started."""

    name: str
    accepted: int = 0
    refused: int = 0
    pending: int = 0


class CommunityReport(_Told):
    """What is shared, what left and what was refused; nothing of who read."""

    shares: list[str] = Field(default_factory=list)
    left: bool = False
    hours: Hours = Hours()
    origins_unknown: str | None = None
    """Why origins are not known."""
    work_untold: list[str] = Field(default_factory=list)
    """Further groups that are to be shared and of which nobody tells."""
    not_written: str | None = None
    """Why the newest hour is not on disk."""
    deliveries: list[Delivery] | None = None
    """`None`: nothing sends, or the sender does not answer."""
    deletions: list[Deletion] = Field(default_factory=list)

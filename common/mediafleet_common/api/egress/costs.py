"""What jobs of each request type are counted with: CPUs, memory, and how many fit on a pod."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from mediafleet_common.api.base import Model

_CHROME: Final = frozenset({"room_composite", "audio_room_composite", "web", "audio_web"})


class RequestType(StrEnum):
    """What a StartEgress asks for, as LiveKit's costs distinguish requests.

    Source: livekit/egress pkg/stats/monitor.go and pkg/types; a v2 request is the type whose cost
    it has (template as room_composite, web as web, media as participant or track).
    """

    ROOM_COMPOSITE = "room_composite"
    AUDIO_ROOM_COMPOSITE = "audio_room_composite"
    SDK_AUDIO_ROOM_COMPOSITE = "sdk_audio_room_composite"
    """Audio-only, without layout and base URL: no page is rendered."""
    WEB = "web"
    AUDIO_WEB = "audio_web"
    PARTICIPANT = "participant"
    TRACK_COMPOSITE = "track_composite"
    TRACK = "track"

    needs_chrome: bool
    """Whether a browser renders it, which takes PulseAudio clients too."""

    def __init__(self, value: str) -> None:
        # Once: it is asked for each job of a pod whenever the pod is counted.
        self.needs_chrome = value in _CHROME


Cost = Annotated[float, Field(gt=0, le=1024)]


class CpuCost(Model):
    """CPUs that a job of each type is counted with; desk and pod use the same figures."""

    room_composite: Cost = 4.0
    """Room composite, and v2 template."""
    audio_room_composite: Cost = 1.0
    """Audio-only room composite."""
    sdk_audio_room_composite: Cost | None = None
    """Audio-only room composite without layout and base URL, which runs without Chrome. Default: \
as audioRoomComposite."""
    web: Cost = 4.0
    """Web."""
    audio_web: Cost = 1.0
    """Audio-only web."""
    participant: Cost = 2.0
    """Participant, and v2 media that is transcoded."""
    track_composite: Cost = 1.0
    """Track composite."""
    track: Cost = 0.5
    """Track, and v2 media that is passed through."""

    def of(self, kind: RequestType) -> float:
        """CPUs of one job of a type."""
        cost = getattr(self, kind.value)
        return float(self.audio_room_composite if cost is None else cost)


Gigabytes = Annotated[float, Field(ge=0, le=65536)]


class Memory(Model):
    """Memory that jobs are counted with; desk and pod use the same figures. GB are 2^30 bytes."""

    max_gb: Annotated[float, Field(gt=1, le=65536)]
    """GB that the jobs of a pod may use; egress keeps 1 of them free. Below limits.memory, since \
egress kills the largest job above it."""
    cost_gb: Gigabytes = 0.0
    """GB that a new job is counted with for its first 15 s."""
    sdk_audio_cost_gb: Gigabytes | None = None
    """The same for an audio-only room composite that runs without Chrome. Default: as costGb."""

    def of(self, kind: RequestType) -> float:
        """GB of one job of a type."""
        if kind is RequestType.SDK_AUDIO_ROOM_COMPOSITE and self.sdk_audio_cost_gb is not None:
            return self.sdk_audio_cost_gb
        return self.cost_gb


Limit = Annotated[int, Field(ge=0, le=10000)]


class Limits(Model):
    """How many jobs of a type one pod may have at a time; absent: as many as fit."""

    room_composite: Limit | None = None
    """Room composite, and v2 template."""
    audio_room_composite: Limit | None = None
    """Audio-only room composite."""
    sdk_audio_room_composite: Limit | None = None
    """Audio-only room composite that runs without Chrome."""
    web: Limit | None = None
    """Web."""
    audio_web: Limit | None = None
    """Audio-only web."""
    participant: Limit | None = None
    """Participant, and v2 media that is transcoded."""
    track_composite: Limit | None = None
    """Track composite."""
    track: Limit | None = None
    """Track, and v2 media that is passed through."""

    def of(self, kind: RequestType) -> int | None:
        """How many jobs of a type; `None`: as many as fit."""
        limit: int | None = getattr(self, kind.value)
        return limit

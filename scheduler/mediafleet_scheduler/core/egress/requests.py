"""What a StartEgress asks for: bytes -> `Request`. Pure, and the only reader of the request.

The bytes may hold storage keys, stream keys and URLs with tokens: nothing of them is kept but what
placement needs.

Sources: livekit/protocol protobufs/rpc/egress.proto and livekit_egress.proto; for what costs what,
livekit/egress pkg/stats/monitor.go (costsForRequest) and pkg/config/pipeline.go; for the picture,
pkg/config/encoding.go (applyPreset) and the defaults of pipeline.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from google.protobuf.message import DecodeError
from livekit.protocol import egress as livekit

from mediafleet_common.api.egress.costs import CpuCost, RequestType
from mediafleet_common.value import value
from mediafleet_common.wire import egress_pb2 as wire

MAX_ID_LENGTH: Final = 256
_WIDTH: Final = 1920
_HEIGHT: Final = 1080
"""Of a picture of which the request says nothing."""
_PRESETS: Final = livekit.EncodingOptionsPreset
_LINES_OF: Final[Mapping[int, int | None]] = {
    _PRESETS.H264_720P_30: 720,
    _PRESETS.H264_720P_60: 720,
    _PRESETS.PORTRAIT_H264_720P_30: 720,
    _PRESETS.PORTRAIT_H264_720P_60: 720,
    _PRESETS.PASSTHROUGH: None,
}
"""All others, and those of later versions, are the default."""


class UnreadableRequestError(ValueError):
    """The bytes are no StartEgressRequest that could be placed."""


class UnknownRequestTypeError(UnreadableRequestError):
    """It is a StartEgressRequest, of a type that is not known here."""


@value
class Request:
    """A StartEgress, as far as placement cares."""

    egress_id: str
    kind: RequestType
    estimated_cores: float | None
    """What the request says it needs; replaces the cost where a pod decides on admission."""
    room_id: str = ""
    room_name: str = ""
    lines: int | None = None
    """Shorter side of its picture in pixels; `None`: it has none, or passes it on as it comes."""

    @property
    def needs_chrome(self) -> bool:
        """Whether a browser renders it."""
        return self.kind.needs_chrome

    @property
    def room(self) -> str:
        """The room by whatever name there is; empty when it is of none."""
        return self.room_name or self.room_id

    def needed_cores(self, costs: CpuCost) -> float:
        """CPUs that a pod must have free to take it."""
        return self.estimated_cores or costs.of(self.kind)


@value
class _Asked:
    kind: RequestType
    room_name: str = ""
    lines: int | None = None


class _Page(Protocol):
    layout: str
    audio_only: bool
    custom_base_url: str


_Encoded = (
    livekit.RoomCompositeEgressRequest
    | livekit.WebEgressRequest
    | livekit.ParticipantEgressRequest
    | livekit.TrackCompositeEgressRequest
    | livekit.StartEgressRequest
    | livekit.ExportReplayRequest
)


def classify(payload: bytes) -> Request:
    """What the bytes of an `rpc.StartEgressRequest` ask for.

    Raises:
        UnreadableRequestError: they are none, or have no usable egress id.
        UnknownRequestTypeError: they ask for something that is not known here.
    """
    try:
        message = wire.StartEgressRequest.FromString(payload)
        field = message.WhichOneof("request")
        if field is None:
            raise UnknownRequestTypeError("it names no source to record")
        asked = _READERS[field](getattr(message, field))
    except DecodeError as error:
        raise UnreadableRequestError("not a StartEgressRequest") from error
    if not 0 < len(message.egress_id) <= MAX_ID_LENGTH:
        raise UnreadableRequestError(f"its egress id has {len(message.egress_id)} characters")
    return Request(
        egress_id=message.egress_id,
        kind=asked.kind,
        estimated_cores=message.estimated_cpu if message.estimated_cpu > 0 else None,
        room_id=message.room_id[:MAX_ID_LENGTH],
        # Older servers name the room only inside.
        room_name=(message.room_name or asked.room_name)[:MAX_ID_LENGTH],
        lines=asked.lines,
    )


def with_estimated_cpu(payload: bytes, cores: float) -> bytes:
    """A StartEgressRequest without `estimated_cpu` (field 14, double), with it: every other byte
    stays as it is, and in its place."""
    return payload + wire.StartEgressRequest(estimated_cpu=cores).SerializeToString()


def _room_composite(data: bytes) -> _Asked:
    request = livekit.RoomCompositeEgressRequest.FromString(data)
    return _Asked(_page(request), request.room_name, _lines(request, sound_only=request.audio_only))


def _page(page: _Page) -> RequestType:
    if not page.audio_only:
        return RequestType.ROOM_COMPOSITE
    if page.layout or page.custom_base_url:
        return RequestType.AUDIO_ROOM_COMPOSITE
    return RequestType.SDK_AUDIO_ROOM_COMPOSITE


def _web(data: bytes) -> _Asked:
    request = livekit.WebEgressRequest.FromString(data)
    return _Asked(_site(request.audio_only), lines=_lines(request, sound_only=request.audio_only))


def _site(audio_only: bool) -> RequestType:
    return RequestType.AUDIO_WEB if audio_only else RequestType.WEB


def _participant(data: bytes) -> _Asked:
    request = livekit.ParticipantEgressRequest.FromString(data)
    return _Asked(RequestType.PARTICIPANT, request.room_name, _lines(request))


def _track_composite(data: bytes) -> _Asked:
    request = livekit.TrackCompositeEgressRequest.FromString(data)
    lines = _lines(request, sound_only=not request.video_track_id)
    return _Asked(RequestType.TRACK_COMPOSITE, request.room_name, lines)


def _track(data: bytes) -> _Asked:
    return _Asked(RequestType.TRACK, livekit.TrackEgressRequest.FromString(data).room_name)


def _v2(data: bytes) -> _Asked:
    request = livekit.StartEgressRequest.FromString(data)
    return _Asked(
        _source(request), request.room_name, _lines(request, sound_only=_sound_only(request))
    )


def _replay(data: bytes) -> _Asked:
    request = livekit.ExportReplayRequest.FromString(data)
    return _Asked(_source(request), lines=_lines(request, sound_only=_sound_only(request)))


def _source(request: livekit.StartEgressRequest | livekit.ExportReplayRequest) -> RequestType:
    match request.WhichOneof("source"):
        case "template":
            return _page(request.template)
        case "web":
            return _site(request.web.audio_only)
        case "media":
            passed_on = request.preset == livekit.EncodingOptionsPreset.PASSTHROUGH
            return RequestType.TRACK if passed_on else RequestType.PARTICIPANT
        case _:
            raise UnknownRequestTypeError("its source is neither template, web nor media")


def _sound_only(request: livekit.StartEgressRequest | livekit.ExportReplayRequest) -> bool:
    """Whether there is no picture."""
    if request.WhichOneof("source") == "media":
        return request.media.WhichOneof("video") is None
    return request.template.audio_only or request.web.audio_only


def _lines(request: _Encoded, *, sound_only: bool = False) -> int | None:
    """The shorter side of the picture."""
    if sound_only:
        return None
    if request.HasField("preset"):
        return _LINES_OF.get(request.preset, _HEIGHT)
    # A width of 0 is the default as well.
    return min(request.advanced.width or _WIDTH, request.advanced.height or _HEIGHT)


_READERS: Final[Mapping[str, Callable[[bytes], _Asked]]] = {
    "room_composite": _room_composite,
    "web": _web,
    "participant": _participant,
    "track_composite": _track_composite,
    "track": _track,
    "egress": _v2,
    "replay": _replay,
}

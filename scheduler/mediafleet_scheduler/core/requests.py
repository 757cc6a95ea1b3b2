"""What a StartEgress asks for: bytes -> `Request`. Pure, and the only reader of the request.

The bytes may hold storage keys, stream keys and URLs with tokens: nothing of them is kept but what
placement needs.

Sources: livekit/protocol protobufs/rpc/egress.proto and livekit_egress.proto; for what costs what,
livekit/egress pkg/stats/monitor.go (costsForRequest) and pkg/config/pipeline.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from google.protobuf.message import DecodeError
from livekit.protocol import egress as livekit

from mediafleet_common.api.egress_fleet import CpuCost, RequestType
from mediafleet_common.wire import egress_pb2 as wire

MAX_ID_LENGTH: Final = 256


class UnreadableRequestError(ValueError):
    """The bytes are no StartEgressRequest that could be placed."""


class UnknownRequestTypeError(UnreadableRequestError):
    """It is a StartEgressRequest, of a type that is not known here."""


@dataclass(frozen=True, slots=True)
class Request:
    """A StartEgress, as far as placement cares."""

    egress_id: str
    kind: RequestType
    needs_chrome: bool
    """Whether a browser renders it; an audio-only room composite may do without."""
    estimated_cores: float | None
    """What the request says it needs; replaces the cost where a pod decides on admission."""
    room_id: str = ""
    room_name: str = ""

    def needed_cores(self, costs: CpuCost) -> float:
        """CPUs that a pod must have free to take it."""
        return self.estimated_cores or costs.of(self.kind)


@dataclass(frozen=True, slots=True)
class _Kind:
    kind: RequestType
    needs_chrome: bool = False


class _Page(Protocol):
    layout: str
    audio_only: bool
    custom_base_url: str


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
        kind = _READERS[field](getattr(message, field))
    except DecodeError as error:
        raise UnreadableRequestError("not a StartEgressRequest") from error
    if not 0 < len(message.egress_id) <= MAX_ID_LENGTH:
        raise UnreadableRequestError(f"its egress id has {len(message.egress_id)} characters")
    return Request(
        egress_id=message.egress_id,
        kind=kind.kind,
        needs_chrome=kind.needs_chrome,
        estimated_cores=message.estimated_cpu if message.estimated_cpu > 0 else None,
        room_id=message.room_id[:MAX_ID_LENGTH],
        room_name=message.room_name[:MAX_ID_LENGTH],
    )


def _room_composite(data: bytes) -> _Kind:
    return _page(livekit.RoomCompositeEgressRequest.FromString(data))


def _page(page: _Page) -> _Kind:
    if not page.audio_only:
        return _Kind(RequestType.ROOM_COMPOSITE, needs_chrome=True)
    needs_chrome = bool(page.layout or page.custom_base_url)
    return _Kind(RequestType.AUDIO_ROOM_COMPOSITE, needs_chrome)


def _web(data: bytes) -> _Kind:
    return _site(livekit.WebEgressRequest.FromString(data).audio_only)


def _site(audio_only: bool) -> _Kind:
    kind = RequestType.AUDIO_WEB if audio_only else RequestType.WEB
    return _Kind(kind, needs_chrome=True)


def _v2(data: bytes) -> _Kind:
    return _source(livekit.StartEgressRequest.FromString(data))


def _replay(data: bytes) -> _Kind:
    return _source(livekit.ExportReplayRequest.FromString(data))


def _source(request: livekit.StartEgressRequest | livekit.ExportReplayRequest) -> _Kind:
    match request.WhichOneof("source"):
        case "template":
            return _page(request.template)
        case "web":
            return _site(request.web.audio_only)
        case "media":
            passed_on = request.preset == livekit.EncodingOptionsPreset.PASSTHROUGH
            return _Kind(RequestType.TRACK if passed_on else RequestType.PARTICIPANT)
        case _:
            raise UnknownRequestTypeError("its source is neither template, web nor media")


def _always(kind: RequestType) -> Callable[[bytes], _Kind]:
    return lambda _: _Kind(kind)


_READERS: Final[Mapping[str, Callable[[bytes], _Kind]]] = {
    "room_composite": _room_composite,
    "web": _web,
    "participant": _always(RequestType.PARTICIPANT),
    "track_composite": _always(RequestType.TRACK_COMPOSITE),
    "track": _always(RequestType.TRACK),
    "egress": _v2,
    "replay": _replay,
}

"""What LiveKit's ListEgress answers, as jobs of a trace. Pure.

As `lk egress list --json` and the API write it: times in nanoseconds, as text or number, 0 while a
job runs; the request under the name of its kind. Source: livekit/protocol
protobufs/livekit_egress.proto (EgressInfo), in protobuf's JSON form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import Message
from livekit.protocol import egress as livekit

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.wire import egress_pb2 as wire
from mediafleet_scheduler.core.egress import requests

_REQUESTS: Final[Mapping[str, type[Message]]] = {
    "room_composite": livekit.RoomCompositeEgressRequest,
    "web": livekit.WebEgressRequest,
    "participant": livekit.ParticipantEgressRequest,
    "track_composite": livekit.TrackCompositeEgressRequest,
    "track": livekit.TrackEgressRequest,
    "egress": livekit.StartEgressRequest,
    "replay": livekit.ExportReplayRequest,
}
_CAMEL: Final = {"room_composite": "roomComposite", "track_composite": "trackComposite"}
_NANOSECONDS: Final = 1_000_000_000
_MAX_DIGITS: Final = 20


def is_one(whole: object) -> bool:
    """Whether a JSON document is such an answer."""
    return isinstance(whole, dict) and isinstance(whole.get("items"), list)


def rows(
    items: Sequence[Any], since: float = 0.0, now: float | None = None
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Number of the item, and the fields of a trace, for each job that began, at `since` or later.

    One that still runs counts until now; unknown, until the last time that is told of any.
    """
    numbered = [(at, item) for at, item in enumerate(items, 1) if isinstance(item, dict)]
    last = max((_latest(item) for _, item in numbered), default=0.0) if now is None else now
    for number, item in numbered:
        began = _seconds(item, "startedAt", "started_at")
        kind = _kind(item)
        if began is None or began < since or kind is None:
            continue
        ended = _seconds(item, "endedAt", "ended_at") or last
        if ended > began:
            room = item.get("roomName", item.get("room_name", ""))
            line = {"time": began, "type": kind.value, "duration": ended - began, "room": room}
            yield number, line


def _latest(item: Mapping[str, Any]) -> float:
    times = (
        _seconds(item, *names) for names in (("startedAt", "started_at"), ("endedAt", "ended_at"))
    )
    return max((time for time in times if time is not None), default=0.0)


def _seconds(item: Mapping[str, Any], *names: str) -> float | None:
    value = next((item[name] for name in names if name in item), None)
    text = str(value)
    known = isinstance(value, str | int) and text.isascii() and text.isdigit()
    if not known or len(text) > _MAX_DIGITS:
        return None
    return int(text) / _NANOSECONDS or None


def _kind(item: Mapping[str, Any]) -> RequestType | None:
    """By the desk's own rule."""
    for name, message in _REQUESTS.items():
        request = item.get(_CAMEL.get(name, name), item.get(name))
        if isinstance(request, dict):
            try:
                asked = json_format.ParseDict(request, message(), ignore_unknown_fields=True)
                whole = wire.StartEgressRequest(egress_id="-")
                setattr(whole, name, asked.SerializeToString())
                return requests.classify(whole.SerializeToString()).kind
            except (json_format.ParseError, requests.UnreadableRequestError, RecursionError):
                return None
    return None

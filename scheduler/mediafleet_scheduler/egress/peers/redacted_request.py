"""The request part of an `EgressInfo`, made from a StartEgressRequest, without its secrets. Pure.

A pod's own answer names what was asked for, with storage keys and stream keys left out. The answer
to a retry is made here, so it gets the same from the retry's own bytes; it is never stored.
Sources: livekit/protocol egress/redact.go, utils/redact.go.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from livekit.protocol import egress as livekit

from mediafleet_common.wire import egress_pb2 as wire
from mediafleet_scheduler.core.egress.redaction import redacted

_SECRETS: Final = {
    "access_key": "{access_key}",
    "secret": "{secret}",
    "session_token": "{session_token}",
    "assume_role_external_id": "{external_id}",
    "credentials": "{credentials}",
    "account_name": "{account_name}",
    "account_key": "{account_key}",
    "username": "{username}",
    "password": "{password}",
}
"""By name of the field: what stands in its place."""
_STREAMS: Final = frozenset({"StreamOutput", "ProxyConfig"})
"""Messages whose URLs hold keys."""
_RTMP: Final = ("rtmp://", "rtmps://")
_LIVE: Final = " live=1"


def with_request(info: bytes, payload: bytes) -> bytes:
    """An `EgressInfo` with what a StartEgressRequest asks for, if it does not say so itself."""
    try:
        if livekit.EgressInfo.FromString(info).WhichOneof("request") is not None:
            return info
        asked = wire.StartEgressRequest.FromString(payload)
        name = asked.WhichOneof("request")
        if name is None:
            return info
        part = livekit.EgressInfo()
        request = getattr(part, name)
        request.ParseFromString(getattr(asked, name))
        # It may be empty, and is there all the same.
        request.SetInParent()
    except (DecodeError, AttributeError):
        return info
    _redact(request)
    return info + bytes(part.SerializeToString())


def _redact(message: Message) -> None:
    message.DiscardUnknownFields()
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in [value] if isinstance(value, Message) else value:
                _redact(each)
        elif field.name in _SECRETS and field.type == FieldDescriptor.TYPE_STRING:
            setattr(message, field.name, _SECRETS[field.name])
        elif message.DESCRIPTOR.name in _STREAMS and field.name in ("url", "urls"):
            _replace(message, field.name, value)


def _replace(message: Message, name: str, value: Any) -> None:
    if isinstance(value, str):
        setattr(message, name, without_key(value))
    else:
        value[:] = [without_key(each) for each in value]


def without_key(url: str) -> str:
    """A stream's URL without its key; of RTMP's, ends of the key stay, by which it is known."""
    scheme = next((each for each in _RTMP if url.startswith(each)), None)
    if scheme is None:
        return redacted(url)
    live = _LIVE if url.endswith(_LIVE) else ""
    app, bar, key = url[len(scheme) : len(url) - len(live)].rpartition("/")
    if "/" not in app or any(each.isspace() for each in key):
        return redacted(url)
    return f"{scheme}{app}{bar}{_ends(key)}{live}"


def _ends(key: str) -> str:
    shown = next((n for n in (3, 2, 1) if len(key) >= 3 * n), 0)
    return f"{{{key[:shown]}...{key[len(key) - shown :]}}}"

"""What a StartEgress asks for, and what it costs."""

from __future__ import annotations

import contextlib
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import egress as livekit

from mediafleet_common.api.egress.costs import CpuCost, RequestType
from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.egress.requests import (
    UnknownRequestTypeError,
    UnreadableRequestError,
    classify,
)

PASSTHROUGH = livekit.EncodingOptionsPreset.PASSTHROUGH
TEMPLATE = livekit.TemplateSource
V2 = livekit.StartEgressRequest
ROOM = livekit.RoomCompositeEgressRequest
REPLAY = livekit.ExportReplayRequest


def request(field: str, inner: Any, **more: Any) -> bytes:
    values = {"egress_id": "EG_1", field: inner.SerializeToString(), **more}
    return StartEgressRequest(**values).SerializeToString()


R = RequestType
CASES: dict[str, tuple[str, Any, RequestType, bool]] = {
    "room composite": ("room_composite", ROOM(), R.ROOM_COMPOSITE, True),
    "audio only with a layout": (
        "room_composite",
        ROOM(audio_only=True, layout="grid"),
        R.AUDIO_ROOM_COMPOSITE,
        True,
    ),
    "audio only with a base URL": (
        "room_composite",
        ROOM(audio_only=True, custom_base_url="https://x"),
        R.AUDIO_ROOM_COMPOSITE,
        True,
    ),
    "audio only runs without Chrome": (
        "room_composite",
        ROOM(audio_only=True),
        R.SDK_AUDIO_ROOM_COMPOSITE,
        False,
    ),
    "web": ("web", livekit.WebEgressRequest(url="https://x"), R.WEB, True),
    "audio web": ("web", livekit.WebEgressRequest(audio_only=True), R.AUDIO_WEB, True),
    "participant": ("participant", livekit.ParticipantEgressRequest(), R.PARTICIPANT, False),
    "track composite": (
        "track_composite",
        livekit.TrackCompositeEgressRequest(),
        R.TRACK_COMPOSITE,
        False,
    ),
    "track": ("track", livekit.TrackEgressRequest(), R.TRACK, False),
    "v2 template": ("egress", V2(template=TEMPLATE()), R.ROOM_COMPOSITE, True),
    "v2 template audio only": (
        "egress",
        V2(template=TEMPLATE(audio_only=True)),
        R.SDK_AUDIO_ROOM_COMPOSITE,
        False,
    ),
    "v2 template audio only with layout": (
        "egress",
        V2(template=TEMPLATE(audio_only=True, layout="x")),
        R.AUDIO_ROOM_COMPOSITE,
        True,
    ),
    "v2 web": ("egress", V2(web=livekit.WebSource(url="https://x")), R.WEB, True),
    "v2 audio web": ("egress", V2(web=livekit.WebSource(audio_only=True)), R.AUDIO_WEB, True),
    "v2 media": ("egress", V2(media=livekit.MediaSource()), R.PARTICIPANT, False),
    "v2 media passed through": (
        "egress",
        V2(media=livekit.MediaSource(), preset=PASSTHROUGH),
        R.TRACK,
        False,
    ),
    "v2 media with options of its own": (
        "egress",
        V2(media=livekit.MediaSource(), advanced=livekit.EncodingOptions(width=1)),
        R.PARTICIPANT,
        False,
    ),
    "replay": ("replay", REPLAY(template=TEMPLATE()), R.ROOM_COMPOSITE, True),
    "replay of media": ("replay", REPLAY(media=livekit.MediaSource()), R.PARTICIPANT, False),
}


@pytest.mark.parametrize(("field", "inner", "kind", "chrome"), CASES.values(), ids=CASES.keys())
def test_the_type_and_whether_chrome_renders_it(
    field: str, inner: Any, kind: RequestType, chrome: bool
) -> None:
    found = classify(request(field, inner, room_id="RM_1", room_name="r"))
    assert (found.kind, found.needs_chrome) == (kind, chrome)
    assert (found.egress_id, found.room_id, found.room_name) == ("EG_1", "RM_1", "r")


@pytest.mark.parametrize(
    ("field", "inner", "room"),
    [
        ("room_composite", ROOM(room_name="inside"), "inside"),
        ("participant", livekit.ParticipantEgressRequest(room_name="inside"), "inside"),
        ("track_composite", livekit.TrackCompositeEgressRequest(room_name="inside"), "inside"),
        ("track", livekit.TrackEgressRequest(room_name="inside"), "inside"),
        ("egress", V2(template=TEMPLATE(), room_name="inside"), "inside"),
        ("web", livekit.WebEgressRequest(url="https://x"), "RM_1"),
    ],
)
def test_older_servers_name_the_room_only_inside(field: str, inner: Any, room: str) -> None:
    assert classify(request(field, inner, room_id="RM_1")).room == room
    assert classify(request(field, inner, room_id="RM_1", room_name="beside")).room == "beside"


PRESET = livekit.EncodingOptionsPreset
SIZE = livekit.EncodingOptions
SPOKEN = livekit.MediaSource(audio=livekit.AudioConfig())
SEEN = livekit.MediaSource(video_track_id="TR_1")
PICTURES: dict[str, tuple[str, Any, int | None]] = {
    "the default is 1080p": ("room_composite", ROOM(), 1080),
    "720p": ("room_composite", ROOM(preset=PRESET.H264_720P_30), 720),
    "720p, twice as often": ("room_composite", ROOM(preset=PRESET.H264_720P_60), 720),
    "1080p": ("room_composite", ROOM(preset=PRESET.H264_1080P_60), 1080),
    "upright": ("web", livekit.WebEgressRequest(preset=PRESET.PORTRAIT_H264_720P_30), 720),
    "upright 60": ("web", livekit.WebEgressRequest(preset=PRESET.PORTRAIT_H264_720P_60), 720),
    "a later preset": ("room_composite", ROOM(preset=cast("Any", 99)), 1080),
    "passed through": ("egress", V2(media=SEEN, preset=PASSTHROUGH), None),
    "its own size": (
        "participant",
        livekit.ParticipantEgressRequest(advanced=SIZE(width=640, height=360)),
        360,
    ),
    "upright, its own size": ("web", livekit.WebEgressRequest(advanced=SIZE(width=480)), 480),
    "its own bitrate alone": ("egress", V2(web=livekit.WebSource(), advanced=SIZE()), 1080),
    "sound of a room": ("room_composite", ROOM(audio_only=True), None),
    "sound of a page": ("web", livekit.WebEgressRequest(audio_only=True), None),
    "sound of a template": ("egress", V2(template=TEMPLATE(audio_only=True)), None),
    "sound of a site": ("egress", V2(web=livekit.WebSource(audio_only=True)), None),
    "sound of media": ("egress", V2(media=SPOKEN), None),
    "media": ("egress", V2(media=SEEN), 1080),
    "replay": ("replay", REPLAY(template=TEMPLATE(), preset=PRESET.H264_720P_30), 720),
    "replay of sound": ("replay", REPLAY(media=SPOKEN), None),
    "tracks": ("track_composite", livekit.TrackCompositeEgressRequest(video_track_id="a"), 1080),
    "tracks of sound": (
        "track_composite",
        livekit.TrackCompositeEgressRequest(audio_track_id="a"),
        None,
    ),
    "a track as it comes": ("track", livekit.TrackEgressRequest(), None),
}


@pytest.mark.parametrize(("field", "inner", "lines"), PICTURES.values(), ids=PICTURES.keys())
def test_the_shorter_side_of_the_picture_as_egress_makes_it(
    field: str, inner: Any, lines: int | None
) -> None:
    assert classify(request(field, inner)).lines == lines


def test_an_estimate_replaces_the_cost_where_it_is_admitted() -> None:
    costs = CpuCost()
    plain = classify(request("web", livekit.WebEgressRequest()))
    told = classify(request("web", livekit.WebEgressRequest(), estimated_cpu=2.5))
    assert plain.needed_cores(costs) == 4.0
    assert told.needed_cores(costs) == 2.5


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\xff\xff", UnreadableRequestError),
        (b"", UnknownRequestTypeError),
        (StartEgressRequest(egress_id="EG_1").SerializeToString(), UnknownRequestTypeError),
        # Field 99: a kind of request that a newer server might send.
        (b"\x0a\x04EG_1\x9a\x06\x00", UnknownRequestTypeError),
        (request("egress", V2()), UnknownRequestTypeError),
        (
            StartEgressRequest(egress_id="E", web=b"\xff").SerializeToString(),
            UnreadableRequestError,
        ),
        (StartEgressRequest(track=b"").SerializeToString(), UnreadableRequestError),
        (
            StartEgressRequest(egress_id="x" * 257, track=b"").SerializeToString(),
            UnreadableRequestError,
        ),
    ],
)
def test_what_cannot_be_placed_is_told_apart(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        classify(data)


def test_no_secret_is_kept() -> None:
    s3 = livekit.S3Upload(access_key="AKIA", secret="canary")
    track = livekit.TrackEgressRequest(file=livekit.DirectFileOutput(s3=s3))
    assert "canary" not in repr(classify(request("track", track, token="canary")))


@given(st.binary(max_size=100))
def test_random_bytes_never_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(UnreadableRequestError):
        classify(data)

"""What a retry is told of what it asked for: all of it but the secrets."""

from __future__ import annotations

import pytest
from livekit.protocol import egress as livekit
from tests.kit.egress.scene import track

from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.egress.peers.redacted_request import with_request, without_key

INFO = bytes(livekit.EgressInfo(egress_id="EG_1", room_name="room").SerializeToString())


def asked(name: str, inner: livekit.WebEgressRequest) -> bytes:
    request = StartEgressRequest(egress_id="EG_1")
    setattr(request, name, inner.SerializeToString())
    return request.SerializeToString()


def answered(name: str, inner: object) -> livekit.EgressInfo:
    return livekit.EgressInfo.FromString(with_request(INFO, asked(name, inner)))  # type: ignore[arg-type]


def test_the_request_is_in_it_beside_what_is_known_of_the_job() -> None:
    payload = track("EG_1").SerializeToString()
    info = livekit.EgressInfo.FromString(with_request(INFO, payload))
    assert (info.egress_id, info.room_name) == ("EG_1", "room")
    assert info.track.track_id == "TR_1"


def test_an_answer_that_says_it_itself_stays_as_it_is() -> None:
    own = livekit.EgressInfo(egress_id="EG_1", web=livekit.WebEgressRequest(url="https://a"))
    told = bytes(own.SerializeToString())
    assert with_request(told, track("EG_1").SerializeToString()) == told


S3 = livekit.S3Upload(
    access_key="s3cret",
    secret="s3cret",
    session_token="s3cret",
    assume_role_external_id="s3cret",
    bucket="b",
    proxy=livekit.ProxyConfig(url="https://u:s3cret@p", username="s3cret", password="s3cret"),
)
UPLOADS = {
    "s3": S3,
    "gcp": livekit.GCPUpload(credentials="s3cret", bucket="b"),
    "azure": livekit.AzureBlobUpload(account_name="s3cret", account_key="s3cret"),
    "aliOSS": livekit.AliOSSUpload(access_key="s3cret", secret="s3cret", bucket="b"),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_no_key_of_a_storage_is_in_it(name: str) -> None:
    output = livekit.EncodedFileOutput(filepath="f.mp4")
    getattr(output, name).CopyFrom(UPLOADS[name])
    page = livekit.RoomCompositeEgressRequest(room_name="room", file_outputs=[output])
    info = answered("room_composite", page)
    assert info.room_composite.file_outputs[0].filepath == "f.mp4"
    assert b"s3cret" not in info.SerializeToString()
    assert info.room_composite.file_outputs[0].WhichOneof("output") == name


def test_a_v2_request_is_redacted_too() -> None:
    storage = livekit.StorageConfig(s3=S3)
    stream = livekit.StreamOutput(urls=["rtmp://h/app/s3cretkey"])
    request = livekit.StartEgressRequest(
        room_name="room", storage=storage, outputs=[livekit.Output(stream=stream)]
    )
    info = answered("egress", request)
    assert info.egress.room_name == "room"
    assert b"s3cret" not in info.SerializeToString().replace(b"{s3c...key}", b"")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("rtmp://host/app/abcdefghi", "rtmp://host/app/{abc...ghi}"),
        ("rtmps://host/a/b/abcd live=1", "rtmps://host/a/b/{a...d} live=1"),
        ("rtmp://host/app/ab", "rtmp://host/app/{...}"),
        ("rtmp://host/key", "rtmp://…"),
        ("srt://host:9000?passphrase=key", "srt://…"),
        ("twitch://key", "twitch://…"),
    ],
)
def test_of_a_streams_url_the_key_is_left_out(url: str, told: str) -> None:
    assert without_key(url) == told


def test_bytes_that_make_no_sense_change_nothing() -> None:
    assert with_request(INFO, b"\xff") == INFO
    assert with_request(b"\xff", track().SerializeToString()) == b"\xff"

"""What is read and kept of an EgressInfo."""

from __future__ import annotations

from livekit.protocol import egress as livekit

from mediafleet_common.wire import egress_pb2 as wire
from mediafleet_scheduler.core.egress.attempt import Report
from mediafleet_scheduler.egress.peers.answers import word_of


def test_the_part_that_is_read_has_the_numbers_of_livekits_own_message() -> None:
    theirs = livekit.EgressInfo.DESCRIPTOR.fields_by_name
    for field in wire.JobInfo.DESCRIPTOR.fields:
        assert theirs[field.name].number == field.number
        enum = theirs[field.name].enum_type is not None
        assert (theirs[field.name].type == field.type) is not enum, "an enum is read as a number"


def test_a_word_keeps_what_clients_ask_for_and_neither_request_nor_results() -> None:
    info = livekit.EgressInfo(
        egress_id="EG_1",
        room_id="RM_1",
        room_name="room",
        source_type=livekit.EgressSourceType.EGRESS_SOURCE_TYPE_SDK,
        status=livekit.EgressStatus.EGRESS_COMPLETE,
        started_at=5,
        updated_at=7,
        ended_at=9,
        error="rtmp://live/secret",
        track=livekit.TrackEgressRequest(room_name="room", websocket_url="wss://secret"),
    )
    info.file_results.add(filename="secret")
    word = word_of(info.SerializeToString())
    kept = livekit.EgressInfo.FromString(word.info)
    assert {field.name for field, _ in kept.ListFields()} == {
        *("egress_id", "room_id", "room_name"),
        *("source_type", "status", "started_at", "updated_at"),
    }
    assert b"secret" not in word.info
    assert (word.egress_id, word.report, word.ended) == ("EG_1", Report.ENDED, True)

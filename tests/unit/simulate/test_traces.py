"""Traces of jobs: what is read, and what a bad one is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.kit.simulate import traces as invented

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.simulate.traces import SHIPPED, BadTraceError, TraceJob, load, parse

JOBS = (
    TraceJob(0.0, RequestType.TRACK, 90.0, "a"),
    TraceJob(2.5, RequestType.WEB, 300.0, "", 3.2),
)
GOOD = {
    "CSV": "time,type,duration,room,cpu\n10,track,90,a,\n12.5,web,5m,,3.2\n",
    "CSV with comments, in any order": (
        "# a day\n\nduration,time,cpu,type,room\n5m,12.5,3.2,web,\n# b\n90s,10,,track,a\n"
    ),
    "times of the clock": (
        "time,type,duration,room,cpu\n2026-01-01T10:00:00Z,track,90,a,\n"
        "2026-01-01T11:00:02.5+01:00,WEB,300,,3.2\n"
    ),
    "a JSON list": (
        '[{"time": 10, "type": "track", "duration": 90, "room": "a"},'
        '{"time": 12.5, "type": "web", "duration": "5m", "cpu": 3.2}]'
    ),
    "a JSON object": (
        '{"jobs": [{"time": "10", "type": "track", "duration": 90, "room": "a"},'
        '{"time": 12.5, "type": "web", "duration": "5m", "cpu": 3.2}]}'
    ),
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_a_trace_is_read(text: str) -> None:
    assert parse(text, "t") == JOBS


LISTED = """{"items":[
 {"egressId":"a","roomName":"r","startedAt":"1739900130000000000","endedAt":"1739900730000000000",
  "roomComposite":{"roomName":"r","layout":"grid"}},
 {"egressId":"b","roomName":"r","startedAt":"1739900140000000000","endedAt":"0","track":{}},
 {"egressId":"c","status":"EGRESS_FAILED","startedAt":"0","endedAt":"0","web":{}},
 {"egress_id":"d","started_at":1739900130000000000,"ended_at":1739900190000000000,
  "room_composite":{"audio_only":true}}
]}"""


def test_what_list_egress_answers_is_a_trace() -> None:
    assert sorted(parse(LISTED, "t"), key=lambda job: (job.at, job.seconds)) == [
        TraceJob(0.0, RequestType.SDK_AUDIO_ROOM_COMPOSITE, 60.0, ""),
        TraceJob(0.0, RequestType.ROOM_COMPOSITE, 600.0, "r"),
        TraceJob(10.0, RequestType.TRACK, 590.0, "r"),
    ]


@pytest.mark.parametrize(
    ("request_of_it", "kind"),
    [
        ({"roomComposite": {"audioOnly": True, "layout": "grid"}}, "audio_room_composite"),
        ({"room_composite": {"custom_base_url": "https://x"}}, "room_composite"),
        ({"web": {"audio_only": True}}, "audio_web"),
        ({"participant": {"identity": "a"}}, "participant"),
        ({"trackComposite": {"videoTrackId": "TR"}}, "track_composite"),
        ({"egress": {"template": {"layout": "grid"}, "preset": "H264_720P_30"}}, "room_composite"),
        ({"egress": {"media": {}, "preset": "PASSTHROUGH"}}, "track"),
        ({"replay": {"web": {"url": "https://x"}, "later": 1}}, "web"),
    ],
)
def test_each_request_of_a_listed_egress_is_of_the_type_that_the_desk_sees(
    request_of_it: dict[str, Any], kind: str
) -> None:
    listed = {"items": [{"startedAt": "1000000000", "endedAt": "2000000000", **request_of_it}]}
    (job,) = parse(json.dumps(listed), "t")
    assert job.kind == kind


def test_a_listed_egress_that_says_too_little_is_left_out() -> None:
    times = {"startedAt": "1000000000", "endedAt": "2000000000"}
    unknown = [{**times}, {**times, "egress": {}}, {**times, "web": {"audio_only": "maybe"}}]
    (job,) = parse(json.dumps({"items": [*unknown, {**times, "track": {}}]}), "t")
    assert job.kind is RequestType.TRACK


def test_a_byte_order_mark_dashes_and_clock_times_are_read(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_bytes(b"\xef\xbb\xbftime,type,duration\r\n0,room-composite,00:35:00\r\n")
    assert load(str(file)) == (TraceJob(0.0, RequestType.ROOM_COMPOSITE, 2100.0),)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"items": [' + b"[" * 100_000,
        b"[" + b"9" * 10_000 + b"]",
        b'time,type,duration\n"' + b"x" * 200_000 + b'",web,1\n',
        b"time,type,duration\n0,web,\xff\n",
        b"\0\n\0",
        b'{"items": [3, {"startedAt": {"a": 1}, "web": {}}]}',
        b"time,type,duration\n0,web,99:99:99\n",
    ],
    ids=["deep", "deep items", "long number", "long cell", "not UTF-8", "NUL", "no items", "clock"],
)
def test_no_file_ends_in_a_traceback(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "trace"
    file.write_bytes(content)
    with pytest.raises(BadTraceError) as told:
        load(str(file))
    assert len(str(told.value)) < 400


@pytest.mark.parametrize("path", ["/dev/zero", "/", "a\0b"])
def test_a_path_that_is_no_file_is_told(path: str) -> None:
    with pytest.raises(BadTraceError):
        load(path)


HEAD = "time,type,duration\n"
BAD = {
    # text -> what the error says
    "nothing": ("", "t: it is empty"),
    "no jobs": (HEAD, "t: it has no jobs"),
    "a header that lacks a field": ("time,type\n1,web\n", "t line 1: the header lacks duration"),
    "a header with an unknown field": (
        "time,type,duration,colour\n",
        "t line 1, field colour: it is none of time, type, duration, room, cpu",
    ),
    "too few fields": (HEAD + "1,track,2\n1,track\n", "t line 3: 2 fields, not 3"),
    "no time": (HEAD + ",track,2\n", "t line 2, field time: it is missing"),
    "an unreadable time": (
        HEAD + "# x\n1,track,2\nsoon,track,2\n",
        "t line 4, field time: 'soon' is neither a number of seconds nor an RFC 3339 time",
    ),
    "a time without a zone": (
        HEAD + "2026-01-01T10:00:00,track,2\n",
        "t line 2, field time: '2026-01-01T10:00:00' has no time zone: add Z or +01:00",
    ),
    "two kinds of time": (
        HEAD + "1,track,2\n2026-01-01T10:00:00Z,track,2\n",
        "t line 3, field time: the first job has a time of another kind; use one for all",
    ),
    "an unknown type": (
        HEAD + "1,movie,2\n",
        f"t line 2, field type: 'movie' is none of {', '.join(RequestType)}",
    ),
    "a duration of 0": (HEAD + "1,web,0\n", "t line 2, field duration: '0' is no number above 0"),
    "an unreadable duration": (
        HEAD + "1,web,long\n",
        "t line 2, field duration: 'long' is no time: write 90, 90s, 5m or 00:05:00",
    ),
    "an unreadable number of CPUs": (
        "time,type,duration,cpu\n1,web,2,many\n",
        "t line 2, field cpu: 'many' is no number above 0",
    ),
    "infinity": (
        HEAD + "inf,web,2\n",
        "t line 2, field time: 'inf' is neither a number of seconds nor an RFC 3339 time",
    ),
    "no JSON": ('[\n{"time": }]', "t line 2: no JSON: Expecting value"),
    "JSON of another shape": ('{"a": 1}', 't: write a list of jobs, or {"jobs": […]}'),
    "a JSON job that is none": (
        '[\n{"time": 1, "type": "web", "duration": 1},\n\n7]',
        "t line 4: a job is an object with time, type, duration",
    ),
    "a JSON field of another type": (
        '[\n{"time": 1, "type": "web", "duration": 1},\n{"time": [1], "type": "web"}]',
        "t line 3, field time: [1] is no plain value",
    ),
    "an unknown JSON field": (
        '[{"time": 1, "type": "web", "duration": 1, "where": 2}]',
        "t line 1, field where: it is none of time, type, duration, room, cpu",
    ),
}


@pytest.mark.parametrize(("text", "wanted"), BAD.values(), ids=BAD)
def test_a_bad_trace_is_told_the_line_and_the_field(text: str, wanted: str) -> None:
    with pytest.raises(BadTraceError) as error:
        parse(text, "t")
    assert str(error.value) == wanted


def test_a_trace_that_is_not_there_is_told_which_ones_ship(tmp_path: Path) -> None:
    with pytest.raises(BadTraceError, match="no such file, and no trace of burst, day, mixed"):
        load(str(tmp_path / "no.csv"))


def test_the_traces_that_ship_are_those_that_were_drawn() -> None:
    """Write them anew with `invented.shipped` when it changes."""
    drawn = invented.shipped()
    assert sorted(drawn) == sorted(SHIPPED)
    for name, text in drawn.items():
        assert load(name) == parse(text, name)

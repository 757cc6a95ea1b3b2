"""What brokers write of tasks that they share."""

from __future__ import annotations

import json

import pytest

from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.shared import (
    TAG_BITS,
    Peer,
    Record,
    SharedAnswer,
    answer_of,
    is_task,
    peer_of,
    record_of,
)
from mediafleet_scheduler.core.workers.steps import Ending
from mediafleet_scheduler.core.workers.views import Target

UPSCALE = Target(Pipeline.UPSCALE, "m/up")


@pytest.mark.parametrize(
    "record",
    [
        Record(UPSCALE, 12.5),
        Record(UPSCALE, 12.5, "s", {"image": None, "prompt": "hi"}, "eA=="),
        Record(UPSCALE, 12.5, None, {"prompt": "hi"}, in_folder=True),
        Record(UPSCALE, 12.5, None, {"prompt": "hi"}, file_lost=True),
    ],
)
def test_a_task_is_read_as_it_was_written(record: Record) -> None:
    assert record_of(record.to_json()) == record


@pytest.mark.parametrize(
    "answer",
    [
        SharedAnswer(Ending.DONE, result='{"images":[]}'),
        SharedAnswer(Ending.FAILED, "out of memory"),
        SharedAnswer(Ending.DONE, in_folder=True),
        SharedAnswer(Ending.DONE, streams=True),
    ],
)
def test_an_answer_is_read_as_it_was_written(answer: SharedAnswer) -> None:
    assert answer_of(answer.to_json()) == answer


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "[]",
        "{}",
        json.dumps({"target": ["upscale"], "deadline": 1}),
        json.dumps({"target": ["dance", "m"], "deadline": 1}),
        json.dumps({"target": ["upscale", "m"], "deadline": 1, "more": 1}),
        json.dumps({"target": ["upscale", "m"], "deadline": "1"}),
        json.dumps({"target": ["upscale", "m"], "deadline": True}),
        json.dumps({"target": ["upscale", "m"], "deadline": 1e12}),
        json.dumps({"target": ["upscale", "m"], "deadline": 1, "session": 1}),
        json.dumps({"target": ["upscale", "m"], "deadline": 1, "request": []}),
        json.dumps({"target": ["upscale", "m"], "deadline": 1, "file": 1}),
        json.dumps({"target": ["upscale", "m"], "deadline": 1, "in_folder": 1}),
        json.dumps({"target": ["upscale", "m"], "deadline": 1, "file_lost": None}),
        "[" * 100_000,
    ],
)
def test_what_is_no_task_is_an_error_of_one_kind(text: str) -> None:
    with pytest.raises(ValueError):
        record_of(text)


@pytest.mark.parametrize(
    "text",
    [
        *("no", "[]", "{}", '{"ending":"maybe"}', '{"ending":"done","x":1}'),
        '{"ending":"done","words":null}',
        '{"ending":"done","result":{}}',
        '{"ending":"done","in_folder":1}',
        '{"ending":"done","streams":"no"}',
    ],
)
def test_what_is_no_answer_is_an_error_of_one_kind(text: str) -> None:
    with pytest.raises(ValueError):
        answer_of(text)


def test_a_peer_is_read_as_it_was_written_and_none_of_what_is_no_peer() -> None:
    for tag in (0, 7, 2**TAG_BITS - 1):
        peer = Peer(tag, "10.0.0.1:8935", "ab" * 32)
        assert peer_of(peer.to_json()) == peer
    assert [peer_of(text) for text in ("", "1", "{}", '{"tag":1}')] == [None] * 4


@pytest.mark.parametrize(
    "fields",
    [
        {"tag": [1]},
        {"tag": True},
        {"tag": 2**TAG_BITS},
        {"tag": -1},
        {"address": "10.0.0.1"},
        {"address": "a/b:1"},
        {"address": None},
        {"fingerprint": "ab"},
        {"fingerprint": "xy" * 32},
        {"fingerprint": 1},
    ],
)
def test_a_peer_that_cannot_be_called_is_none(fields: dict[str, object]) -> None:
    good = {"tag": 7, "address": "[::1]:8935", "fingerprint": "ab" * 32}
    assert peer_of(json.dumps(good)) is not None
    assert peer_of(json.dumps({**good, **fields})) is None


def test_only_what_we_name_a_task_becomes_the_name_of_a_file() -> None:
    assert is_task("0123456789abcdef" * 2)
    names = ("", "../" * 8 + "x" * 8, "0" * 31, "0" * 33, "0" * 32 + "\n", "G" * 32)
    assert not any(is_task(name) for name in names)

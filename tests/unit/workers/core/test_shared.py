"""What brokers write of tasks that they share."""

from __future__ import annotations

import json

import pytest

from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.shared import (
    Record,
    SharedAnswer,
    answer_of,
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
    ],
)
def test_what_is_no_task_is_an_error_of_one_kind(text: str) -> None:
    with pytest.raises(ValueError):
        record_of(text)


@pytest.mark.parametrize(
    "text", ["no", "[]", "{}", '{"ending":"maybe"}', '{"ending":"done","x":1}']
)
def test_what_is_no_answer_is_an_error_of_one_kind(text: str) -> None:
    with pytest.raises(ValueError):
        answer_of(text)

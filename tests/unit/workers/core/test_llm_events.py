"""An LLM's event stream: what a stock orchestrator survives of it, and when it is over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_scheduler.core.workers.orchestrators.llm_events import (
    MOST_LINE,
    LastWord,
    Lines,
    StockEvents,
)

WORD = b'{"choices":[{"index":0,"delta":{"content":"w"},"finish_reason":null}]}'
STOP = b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'


def event(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"


@pytest.mark.parametrize("payload", [WORD, STOP, b'{"choices":[null]}', b"[DONE]"])
def test_a_chunk_with_a_choice_is_passed_on_as_it_is(payload: bytes) -> None:
    assert StockEvents().feed(event(payload)) == event(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b"null",
        b'{"choices":[]}',
        b'{"choices":null}',
        b'{"choices":[],"usage":{"total_tokens":9}}',
        b'{"error":{"message":"out of memory"}}',
        # Go reads names in any case, the long s included; Python does not.
        b'{"choices":[{}],"Choices":[]}',
        '{"choices":[{}],"choice\u017f":[]}'.encode(),
        b'{"choices":[{}],"choices":[]}',
        b'{"choices":{"0":1}}',
        b"[" * 100_000,
        b'{"a":' * 10_000,
        b"\xff",
        b"",
    ],
)
def test_a_chunk_without_a_choice_which_ends_an_orchestrators_handler_is_left_out(
    payload: bytes,
) -> None:
    assert StockEvents().feed(event(payload) + event(WORD)) == event(WORD)


def test_other_lines_than_data_are_left_out_and_a_space_may_be_missing() -> None:
    stream = b": ping\r\nevent: word\r\ndata:" + WORD + b"\r\n\r\n" + WORD + b"\n"
    assert StockEvents().feed(stream) == event(WORD)


@given(st.lists(st.integers(1, 40)))
def test_where_a_stream_is_cut_changes_nothing(cuts: list[int]) -> None:
    whole, kept, place = event(WORD) * 2 + event(STOP), StockEvents(), 0
    told = b""
    for cut in cuts:
        told += kept.feed(whole[place : place + cut])
        place += cut
    assert told + kept.feed(whole[place:]) == whole


def test_of_a_line_that_is_too_long_nothing_is_kept_and_the_next_is_read() -> None:
    lines = Lines()
    assert lines.feed(b"a" * (MOST_LINE - 1) + b"\n") == [b"a" * (MOST_LINE - 1)]
    assert lines.feed(b"a" * MOST_LINE + b"\nb\n") == [b"b"]
    for _ in range(3):
        assert lines.feed(b"a" * MOST_LINE) == []
    assert lines.feed(b"a\nb\n") == [b"b"]


@pytest.mark.parametrize(
    ("payloads", "said"),
    [
        ((), False),
        ((WORD,), False),
        ((WORD, STOP), True),
        ((STOP, b'{"choices":[],"usage":{}}', b'{"choices":[7]}', b"[DONE]"), True),
        # A second choice goes on, until it ends, too.
        ((WORD, b'{"choices":[{"index":1,"delta":{}}]}', STOP), False),
        ((b'{"choices":[{"index":1}]}', STOP, b'{"choices":[{"index":1}]}'), False),
        (
            (b'{"choices":[{"index":1}]}', STOP, b'{"choices":[{"index":1,"finish_reason":"l"}]}'),
            True,
        ),
        ((STOP, b'{"choices":[{"index":2}]}'), False),
        # What comes after its end opens a choice no more; one without a number is the first.
        ((STOP, WORD), True),
        ((WORD, b'{"choices":[{"index":"x","finish_reason":"stop"}]}'), True),
        ((b'{"choices":[{"finish_reason":""}]}',), False),
    ],
)
def test_the_last_word_is_said_once_each_choice_has_a_reason_to_end(
    payloads: tuple[bytes, ...], said: bool
) -> None:
    last = LastWord()
    for each in payloads:
        last.feed(event(each))
    assert last.said is said

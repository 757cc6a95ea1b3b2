"""JSON from elsewhere: what is read can be written again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_scheduler.core.workers.foreign import MOST_DEPTH, read_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


@given(VALUES)
def test_json_is_read_as_it_was_written(value: Any) -> None:
    assert read_json(json.dumps(value)) == value
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"{", b"\xff", b"NaN", b"[Infinity]", b"1e999", b"-1e999"),
        *(b'"\\ud800"', b'{"\\uDC00":1}', b'["\\ud800x"]'),
        b"[" * (MOST_DEPTH + 1) + b"]" * (MOST_DEPTH + 1),
        b"[" * 200_000,
        b'{"a":' * 200_000,
        '"[{'.encode("utf-16"),
    ],
)
def test_what_nobody_else_could_read_is_no_json(text: bytes) -> None:
    with pytest.raises(ValueError):
        read_json(text)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * MOST_DEPTH + b"]" * MOST_DEPTH,
        b"[" + b"[]," * 1000 + b"{}]",
        b'["' + b"[" * 1000 + b'"]',
        b'["\\"' + b"{" * 1000 + b'"]',
        b'["\\\\ud800", "\\ud83d\\ude00"]',
    ],
)
def test_brackets_in_texts_and_beside_each_other_are_no_depth(text: bytes) -> None:
    assert read_json(text) == json.loads(text)


def test_a_text_without_an_end_is_looked_at_once() -> None:
    """Else a megabyte of escapes would take minutes."""
    with pytest.raises(ValueError, match=r"Unterminated|Invalid"):
        read_json(b"[" + b"[]," * (MOST_DEPTH + 1) + b'"' + b'\\"' * 500_000)

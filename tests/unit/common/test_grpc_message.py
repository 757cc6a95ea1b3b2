"""The one message of a gRPC call in its frame, and bytes in headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.formats.grpc_message import framed, header_text, header_value, unframed


@given(st.binary(max_size=300))
def test_a_message_is_read_from_the_frame_that_it_was_put_into(message: bytes) -> None:
    assert unframed(framed(message)) == message


def test_a_frame_is_a_flag_and_the_length_in_four_bytes_the_highest_first() -> None:
    assert framed(b"abc") == b"\x00\x00\x00\x00\x03abc"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\x00\x00\x00",
        b"\x01\x00\x00\x00\x01a",
        b"\x00\x00\x00\x00\x02a",
        b"\x00\x00\x00\x00\x01ab",
        framed(b"a") + framed(b"b"),
    ],
)
def test_what_is_not_one_plain_message_is_none(body: bytes) -> None:
    assert unframed(body) is None


@given(st.binary(max_size=20))
def test_bytes_in_a_header_are_read_as_they_were_written_without_padding(value: bytes) -> None:
    text = header_text(value)
    assert "=" not in text
    assert header_value("grpc-status-details-bin", text) == value


def test_a_header_of_text_is_the_text_itself() -> None:
    assert header_text("a=b=") == "a=b="
    assert header_value("grpc-message", "YQ==") == "YQ=="


def test_bytes_in_a_header_that_are_no_base64_are_empty() -> None:
    assert header_value("x-bin", "a") == b""

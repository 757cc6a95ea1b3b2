"""Redis' protocol: what was written is read, however it is cut."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_scheduler.psrpc import resp
from mediafleet_scheduler.psrpc.resp import Parser, ProtocolError, Refusal, Reply, command

MESSAGE = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\n\r\n\x00x\r\n"

PIECES = [b"%1\r\n", b"~2\r\n", b"*2\r\n", b"*0\r\n", b"$1\r\n", b"x\r\n", b":1\r\n", b",1.5\r\n"]
PIECES += [
    b"(12\r\n",
    b"#t\r\n",
    b"|1\r\n",
    b"=5\r\n",
    b"txt:x\r\n",
    b"-no\r\n",
    b">1\r\n",
    b"_\r\n",
]

CASES: dict[str, tuple[bytes, list[Reply]]] = {
    "a message": (MESSAGE, [[b"message", b"c", b"\r\n\x00x"]]),
    "a push message": (b">" + MESSAGE[1:], [[b"message", b"c", b"\r\n\x00x"]]),
    "a confirmation": (
        b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n",
        [[b"subscribe", b"c", 1]],
    ),
    "a number": (b":-12\r\n", [-12]),
    "a word": (b"+PONG\r\n", [b"PONG"]),
    "an error": (b"-NOPERM no\r\n", [Refusal("NOPERM no")]),
    "an empty string": (b"$0\r\n\r\n", [b""]),
    "nothing": (b"$-1\r\n*-1\r\n_\r\n", [None, None, None]),
    "an empty list": (b"*0\r\n", [[]]),
    "several": (b":1\r\n:2\r\n", [1, 2]),
}


@pytest.mark.parametrize(("data", "wanted"), CASES.values(), ids=CASES.keys())
def test_replies_are_read_whole_and_byte_by_byte(data: bytes, wanted: list[Reply]) -> None:
    assert Parser().feed(data) == wanted
    parser, found = Parser(), []
    for number in range(len(data)):
        found += parser.feed(data[number : number + 1])
    assert found == wanted


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5), st.data())
def test_commands_are_arrays_of_strings_however_they_are_cut(
    parts: list[bytes], data: st.DataObject
) -> None:
    written = command(*parts)
    cut = data.draw(st.integers(0, len(written)))
    parser = Parser()
    assert parser.feed(written[:cut]) + parser.feed(written[cut:]) == [list(parts)]


@pytest.mark.parametrize("data", [b"HTTP/1.1 200 OK\r\n", b"$x\r\n", b"*x\r\n", b":x\r\n"])
def test_another_protocol_is_told(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Parser().feed(data)


@pytest.mark.parametrize("begun", [b"$999999999999\r\n", b"*99999\r\n"])
def test_a_reply_that_does_not_end_is_given_up(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resp, "MAX_REPLY_BYTES", 1000)
    parser = Parser()
    assert parser.feed(begun) == []
    for _ in range(9):
        assert parser.feed(b":1234567\r\n" * 10) == []
    with pytest.raises(ProtocolError, match="more than 1000 bytes"):
        parser.feed(b":1234567\r\n" * 10)


def test_many_short_replies_are_no_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resp, "MAX_REPLY_BYTES", 1000)
    parser = Parser()
    assert len(parser.feed(MESSAGE + MESSAGE[:9])) == 1
    assert sum(len(parser.feed(MESSAGE[9:] + MESSAGE[:9])) for _ in range(100)) == 100


@given(st.one_of(st.binary(max_size=100), st.lists(st.sampled_from(PIECES)).map(b"".join)))
def test_random_bytes_never_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        Parser().feed(data)

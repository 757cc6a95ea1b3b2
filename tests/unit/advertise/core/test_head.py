"""Our nodes take the place of the head's, and every other byte stays as it came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo
from mediafleet_scheduler.core.advertise.head import NotAnInfoError, read

NODES = 34


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def tagged(number: int, wire: int, value: bytes) -> bytes:
    return varint(number << 3 | wire) + value


def text(number: int, value: bytes) -> bytes:
    return tagged(number, 2, varint(len(value)) + value)


numbers = st.integers(1, 2**29 - 1)
others = numbers.filter(lambda number: number != NODES)
scalars = st.one_of(
    st.builds(tagged, numbers, st.just(0), st.integers(0, 2**64 - 1).map(varint)),
    st.builds(tagged, numbers, st.just(1), st.binary(min_size=8, max_size=8)),
    st.builds(tagged, numbers, st.just(5), st.binary(min_size=4, max_size=4)),
    st.builds(text, others, st.binary(max_size=40)),
)
groups = st.builds(
    lambda number, inner: tagged(number, 3, b"".join(inner)) + tagged(number, 4, b""),
    numbers,
    st.lists(st.one_of(scalars, st.just(text(NODES, b"inside a group, so no node"))), max_size=3),
)
foreign = st.one_of(scalars, groups)
nodes = st.builds(lambda url: (text(NODES, url),), st.binary(max_size=40))
"""In a tuple, to be told from what is not a node."""


@given(
    st.lists(st.one_of(foreign, nodes), max_size=12), st.lists(st.binary(max_size=30), max_size=3)
)
def test_every_byte_but_the_nodes_stays_in_its_place(
    parts: list[bytes | tuple[bytes]], ours: list[bytes]
) -> None:
    answer = b"".join(part if isinstance(part, bytes) else part[0] for part in parts)
    kept = [part for part in parts if isinstance(part, bytes)]
    first = next((i for i, part in enumerate(parts) if not isinstance(part, bytes)), len(parts))
    before = b"".join(part for part in parts[:first] if isinstance(part, bytes))
    fields = b"".join(text(NODES, url) for url in ours)

    spliced = read(answer).with_nodes(fields)

    assert spliced == before + fields + b"".join(kept)[len(before) :]


@given(st.text(max_size=20), st.lists(st.text(max_size=20)), st.binary(max_size=40))
def test_what_a_gateway_reads_is_the_heads_but_for_the_nodes(
    transcoder: str, old: list[str], params: bytes
) -> None:
    info = OrchestratorInfo(transcoder=transcoder, nodes=old, ticket_params=params)
    answer = read(info.SerializeToString())
    assert answer.transcoder == transcoder
    told = OrchestratorInfo.FromString(answer.with_nodes(text(NODES, b"https://a:1")))
    assert list(told.nodes) == ["https://a:1"]
    told.ClearField("nodes")
    info.ClearField("nodes")
    assert told == info


@given(st.binary(max_size=60))
def test_any_bytes_are_cut_or_refused_by_name(answer: bytes) -> None:
    try:
        found = read(answer)
    except NotAnInfoError as error:
        assert str(error)  # noqa: PT017 (the other way, it is an answer)
    else:
        assert len(found.with_nodes(b"")) <= len(answer)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"\x0c", "byte 0 ends a group that nobody began"),
        (tagged(1, 3, tagged(2, 4, b"")), "groups cross"),
        (tagged(1, 6, b""), "no wire type 6"),
        (tagged(1, 7, b""), "no wire type 7"),
        (b"\x00\x00", "there is no field 0"),
        (varint(1 << 32) + b"\x00", f"there is no field {1 << 29}"),
        (tagged(1, 1, bytes(7)), "field 1 ends after the message"),
        (tagged(1, 5, bytes(3)), "field 1 ends after the message"),
        (tagged(1, 2, b"\x02x"), "field 1 ends after the message"),
        (tagged(1, 0, b""), "a number ends after the message"),
        (tagged(1, 0, b"\x80" * 10 + b"\x01"), "does not end"),
        (tagged(1, 3, b""), "a number ends after the message"),
    ],
)
def test_a_message_that_is_none_is_refused_with_the_place(answer: bytes, words: str) -> None:
    with pytest.raises(NotAnInfoError, match=words):
        read(answer)


def test_groups_inside_groups_stay_whole() -> None:
    inner = tagged(2, 3, tagged(3, 0, b"\x01") + tagged(2, 4, b""))
    answer = tagged(1, 3, inner + tagged(1, 4, b"")) + text(NODES, b"https://theirs")
    assert read(answer).with_nodes(b"") == tagged(1, 3, inner + tagged(1, 4, b""))


def test_the_largest_number_that_fits_has_ten_bytes() -> None:
    answer = tagged(1, 0, b"\xff" * 9 + b"\x01")
    assert read(answer).with_nodes(b"") == answer

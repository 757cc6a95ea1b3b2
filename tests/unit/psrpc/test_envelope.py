"""Envelopes: what was written is read, and nothing that is no envelope gets further."""

from __future__ import annotations

import contextlib
import gzip

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.wire import psrpc_pb2 as pb
from mediafleet_scheduler.psrpc.envelope import (
    MAX_BYTES,
    Bid,
    Envelope,
    Grant,
    Request,
    Response,
    decode,
    encode,
    request_id_of,
)
from mediafleet_scheduler.psrpc.errors import BadMessage, BadMessageError, Code, PsrpcError

PREFIX = "type.googleapis.com/internal."
REQUEST = Request("REQ_1", "CLI_1", 1, 2, b"payload", metadata={"k": "v"})


@pytest.mark.parametrize(
    "envelope",
    [
        REQUEST,
        Request("REQ_1", "CLI_1", 1, 2, b"", multi=True),
        Response("REQ_1", "SRV_1", 3, b"answer"),
        Bid("REQ_1", "SRV_1", 0.5),
        Grant("REQ_1", "SRV_1"),
    ],
)
def test_what_is_encoded_decodes_to_the_same(envelope: Envelope) -> None:
    assert decode(encode(envelope), type(envelope)) == envelope  # type: ignore[type-var]


@pytest.mark.parametrize("length", [1, 12, 127])
@pytest.mark.parametrize("size", [0, 100, 300_000])
def test_the_id_of_a_request_is_told_without_reading_it(length: int, size: int) -> None:
    request = REQUEST._replace(request_id="R" * length, payload=bytes(size))
    assert request_id_of(encode(request)) == request.request_id


def test_the_id_of_a_request_that_is_written_otherwise_is_not_told() -> None:
    value = pb.Msg.FromString(encode(REQUEST)).value
    turned = pb.Msg(value=value).SerializeToString()
    turned += pb.Msg(type_url=PREFIX + "Request").SerializeToString()
    without = pb.Msg(
        type_url=PREFIX + "Request", value=pb.Request(client_id="C").SerializeToString()
    )
    cut = pb.Msg(type_url=PREFIX + "Request", value=bytes((0x0A, 9, 65)))
    others = (without.SerializeToString(), cut.SerializeToString(), encode(Grant("R", "S")))
    long = encode(REQUEST._replace(request_id="R" * 128))
    for each in (turned, *others, long, b"", b"noise"):
        assert request_id_of(each) is None


@pytest.mark.parametrize("size", [0, 1, 100, 128, 16_383, 16_384, 300_000])
def test_what_is_written_is_protobuf_whatever_its_length(size: int) -> None:
    written = encode(REQUEST._replace(payload=b"x" * size))
    outer = pb.Msg.FromString(written)
    assert outer.SerializeToString() == written
    assert pb.Request.FromString(outer.value).raw_request == b"x" * size
    assert decode(written, Request).payload == b"x" * size


def test_fields_in_another_order_and_fields_that_follow_are_read_alike() -> None:
    written = encode(REQUEST)
    value = pb.Msg.FromString(written).value
    channel = pb.Msg(channel="somewhere").SerializeToString()
    turned = pb.Msg(value=value).SerializeToString()
    turned += pb.Msg(type_url=PREFIX + "Request").SerializeToString()
    for each in (written + channel, channel + written, turned):
        assert decode(each, Request) == REQUEST


@given(st.binary(max_size=40), st.integers(min_value=0, max_value=40))
def test_whatever_follows_the_type_is_read_as_protobuf_says(tail: bytes, cut: int) -> None:
    head = encode(Grant("REQ_1", "SRV_1"))
    data = head[: len(head) - cut] + tail
    try:
        outer = pb.Msg.FromString(data)
        said = pb.ClaimResponse.FromString(outer.value)
    except DecodeError:
        with pytest.raises(BadMessageError):
            decode(data, Grant)
        return
    if outer.type_url == PREFIX + "ClaimResponse" and not outer.compression and said.request_id:
        assert decode(data, Grant) == Grant(said.request_id, said.server_id)
    else:
        with pytest.raises(BadMessageError):
            decode(data, Grant)


def test_requests_and_answers_say_nothing_of_their_payload_in_logs() -> None:
    shown = repr(REQUEST._replace(payload=b"secret", metadata={"k": "secret"}))
    assert "REQ_1" in shown
    assert "secret" not in shown + repr(Response("REQ_1", "SRV_1", 3, b"secret"))


def test_an_error_answer_keeps_code_sentence_and_details() -> None:
    detail = Any(type_url="x/y", value=b"z").SerializeToString()
    error = PsrpcError(Code.UNAVAILABLE, "not enough CPU", (detail,))
    read = decode(encode(Response("REQ_1", "SRV_1", 3, error=error)), Response).error
    assert read is not None
    assert (read.code, read.message, read.details) == (error.code, error.message, error.details)


def test_the_type_url_is_upstreams() -> None:
    message = pb.Msg.FromString(encode(Bid("REQ_1", "SRV_1", 1)))
    assert message.type_url == PREFIX + "ClaimRequest"
    assert not message.channel
    assert not message.compression


def test_an_old_clients_any_is_read_as_the_payload() -> None:
    inner = pb.Request(request_id="R", client_id="C", request=Any(type_url="t", value=b"old"))
    data = pb.Msg(type_url=PREFIX + "Request", value=inner.SerializeToString())
    assert decode(data.SerializeToString(), Request).payload == b"old"


def test_an_old_servers_any_is_read_as_the_payload() -> None:
    inner = pb.Response(request_id="R", response=Any(type_url="t", value=b"old"))
    data = pb.Msg(type_url=PREFIX + "Response", value=inner.SerializeToString())
    assert decode(data.SerializeToString(), Response).payload == b"old"


def test_gzip_is_read_and_never_written() -> None:
    plain = pb.Msg.FromString(encode(REQUEST))
    packed = pb.Msg(type_url=plain.type_url, value=gzip.compress(plain.value), compression=1)
    assert decode(packed.SerializeToString(), Request) == REQUEST


def _message(value: bytes, compression: int = 0, name: str = "Request") -> bytes:
    return pb.Msg(type_url=PREFIX + name, value=value, compression=compression).SerializeToString()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\xff\xff", BadMessage.NOT_PROTOBUF),
        (b"hello, is anybody there?", BadMessage.NOT_PROTOBUF),
        (b"", BadMessage.WRONG_TYPE),
        (b"x" * (MAX_BYTES + 1), BadMessage.TOO_LARGE),
        (_message(b"\x0a\x05ab"), BadMessage.NOT_PROTOBUF),
        (_message(b"", name="Response"), BadMessage.WRONG_TYPE),
        (_message(b""), BadMessage.INCOMPLETE),
        (_message(pb.Request(request_id="R").SerializeToString()), BadMessage.INCOMPLETE),
        (_message(b"x", compression=7), BadMessage.UNKNOWN_COMPRESSION),
        (_message(b"no gzip", compression=1), BadMessage.BAD_GZIP),
        (_message(gzip.compress(b"x" * 1000)[:20], compression=1), BadMessage.BAD_GZIP),
        (_message(gzip.compress(b"\0" * 50_000_000), compression=1), BadMessage.INFLATES_TOO_FAR),
    ],
    ids=[
        "not protobuf",
        "text",
        "nothing",
        "too large",
        "no request in it",
        "another type",
        "an empty request",
        "without an id to answer",
        "unknown compression",
        "no gzip",
        "half of a gzip",
        "a gzip bomb",
    ],
)
def test_what_is_no_envelope_is_refused_with_its_reason(data: bytes, reason: BadMessage) -> None:
    with pytest.raises(BadMessageError) as caught:
        decode(data, Request)
    assert caught.value.reason is reason


@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(BadMessageError):
        decode(data, Request)


@given(st.binary(max_size=200), st.integers(0, 2))
def test_random_contents_never_raise_anything_else(value: bytes, compression: int) -> None:
    with contextlib.suppress(BadMessageError):
        decode(_message(value, compression), Request)


def test_a_secret_in_a_payload_is_not_shown() -> None:
    assert "s3-secret" not in repr(
        Request("R", "C", 1, 2, b"s3-secret", metadata={"a": "s3-secret"})
    )

"""An end of a session without an auth_token, which ends a go-livepeer process, is told apart."""

from __future__ import annotations

import pytest

from mediafleet_common.wire.livepeer_pb2 import EndTranscodingSessionRequest
from mediafleet_scheduler.core.advertise.head import names_a_session


def test_a_request_with_a_token_names_its_session() -> None:
    request = EndTranscodingSessionRequest()
    request.auth_token.session_id = "s"
    assert names_a_session(request.SerializeToString())
    empty = EndTranscodingSessionRequest()
    empty.auth_token.SetInParent()
    assert names_a_session(empty.SerializeToString())


@pytest.mark.parametrize("request_", [b"", b"\xff\xff", b"\x0a"])
def test_without_one_and_when_it_is_no_request_it_names_none(request_: bytes) -> None:
    assert not names_a_session(request_)

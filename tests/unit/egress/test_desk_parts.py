"""The desk's small parts: records, answers, outcomes, where Redis is."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import egress as livekit

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.api.shared import SecretKey
from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.attempt import Outcome, Report
from mediafleet_scheduler.core.egress.placement.modes import Refusal
from mediafleet_scheduler.core.egress.queue import Waiting
from mediafleet_scheduler.core.egress.requests import Request
from mediafleet_scheduler.egress.connections.opening import (
    access_to,
    of_spec,
    of_url,
    where_of,
)
from mediafleet_scheduler.egress.ledger.records import (
    Record,
    UnreadableRecordError,
    from_json,
    to_json,
    waiting_from_json,
    waiting_to_json,
)
from mediafleet_scheduler.egress.peers import answers
from mediafleet_scheduler.egress.peers.forwarding import outcome_of
from mediafleet_scheduler.egress.process.serve import Options
from mediafleet_scheduler.psrpc.envelope import Response
from mediafleet_scheduler.psrpc.errors import Code, PsrpcError

JOB = Job("EG_1", "/rec", "pod-0", "uid", "pod-0", RequestType.WEB, 4.0, "token", 1.5)
REQUEST = Request("EG_1", RequestType.WEB, None, "RM_1", "room")


@pytest.mark.parametrize(
    "record",
    [
        Record(JOB),
        Record(JOB._replace(started_at=2.0, server_id="SRV_1"), b"\x00answer"),
    ],
)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert from_json(to_json(record)) == record
    assert "null" not in to_json(record)


def test_a_records_error_keeps_code_and_sentence() -> None:
    error = PsrpcError(Code.INTERNAL, "handler failed to start")
    read = from_json(to_json(Record(JOB, error=error))).error
    assert read is not None
    assert (read.code, read.message) == (error.code, error.message)


@pytest.mark.parametrize(
    "text", ["", "[]", "1", "{}", '{"egress_id": "x"}', to_json(Record(JOB)).replace("web", "new")]
)
def test_what_is_no_record_is_told(text: str) -> None:
    with pytest.raises(UnreadableRecordError):
        from_json(text)


@pytest.mark.parametrize(
    "entry",
    [
        Waiting("EG_1", "/rec", RequestType.WEB, 4.0, "room", 1.5, until=7.5),
        Waiting("EG_1", "/rec", RequestType.TRACK, 0.5, "", 1.5, keep_until=7.5),
    ],
)
def test_an_entry_of_the_line_is_read_as_it_was_written(entry: Waiting) -> None:
    assert waiting_from_json(waiting_to_json(entry)) == entry
    assert "null" not in waiting_to_json(entry)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"egress_id": "x", "kind": "new"}'])
def test_what_is_no_entry_of_the_line_is_told(text: str) -> None:
    with pytest.raises(UnreadableRecordError):
        waiting_from_json(text)


@given(st.text(max_size=60))
def test_random_text_never_raises_anything_else(text: str) -> None:
    with contextlib.suppress(UnreadableRecordError):
        from_json(text)


def refused(code: Code, message: str) -> Response:
    return Response("REQ_1", "SRV_1", 0, error=PsrpcError(code, message))


@pytest.mark.parametrize(
    ("response", "wanted", "elsewhere"),
    [
        (Response("REQ_1", "SRV_1", 0, b"info"), Outcome.STARTED, False),
        (
            refused(Code.ALREADY_EXISTS, "egress already exists"),
            Outcome.ALREADY_EXISTS,
            False,
        ),
        (refused(Code.UNAVAILABLE, "not enough CPU"), Outcome.NOT_ENOUGH_CPU, True),
        (refused(Code.UNAVAILABLE, "server is shutting down"), Outcome.SHUTTING_DOWN, True),
        (refused(Code.UNAVAILABLE, "failed to subscribe to track"), Outcome.FAILED, False),
        (refused(Code.INVALID_ARGUMENT, "not enough CPU"), Outcome.REFUSED, False),
        (refused(Code.INTERNAL, "handler failed to start"), Outcome.REFUSED, False),
        (refused(Code.DEADLINE_EXCEEDED, "io"), Outcome.FAILED, False),
    ],
)
def test_only_what_surely_did_not_start_goes_elsewhere(
    response: Response, wanted: Outcome, elsewhere: bool
) -> None:
    outcome = outcome_of(response).outcome
    assert outcome is wanted
    assert outcome.not_started is elsewhere


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Refusal.NO_CAPACITY, Code.RESOURCE_EXHAUSTED),
        (Refusal.NO_TYPE_CAPACITY, Code.FAILED_PRECONDITION),
        (Refusal.DRAINING, Code.RESOURCE_EXHAUSTED),
    ],
)
def test_a_refusal_says_its_reason_in_a_word_and_a_sentence(reason: Refusal, code: Code) -> None:
    error = answers.no_capacity(reason, REQUEST, 4.0)
    assert error.code is code
    assert error.message.startswith(f"{reason}: ")
    assert "web that needs 4 CPUs" in error.message


def test_an_answer_is_kept_without_the_request_in_it() -> None:
    info = livekit.EgressInfo(
        egress_id="EG_1",
        room_name="room",
        status=livekit.EgressStatus.EGRESS_ACTIVE,
        web=livekit.WebEgressRequest(url="https://x/?token=canary"),
        details="canary",
    )
    kept = answers.without_request(info.SerializeToString())
    assert b"canary" not in kept
    read = livekit.EgressInfo.FromString(kept)
    assert (read.egress_id, read.room_name, read.status) == ("EG_1", "room", info.status)
    assert answers.without_request(b"\xff") == b""


@pytest.mark.parametrize(
    ("status", "report", "ended"),
    [
        ("EGRESS_STARTING", Report.CREATED, False),
        ("EGRESS_ACTIVE", Report.STARTED, False),
        ("EGRESS_ENDING", Report.STARTED, False),
        ("EGRESS_COMPLETE", Report.ENDED, True),
        ("EGRESS_FAILED", Report.CREATED, True),
        ("EGRESS_ABORTED", Report.CREATED, True),
        ("EGRESS_LIMIT_REACHED", Report.ENDED, True),
    ],
)
def test_which_words_tell_of_a_start_and_of_an_end(
    status: str, report: Report, ended: bool
) -> None:
    word = answers.word_of(livekit.EgressInfo(egress_id="EG_1", status=status).SerializeToString())
    assert (word.egress_id, word.report, word.ended) == ("EG_1", report, ended)


def spec(**values: object) -> RedisSpec:
    return RedisSpec.model_validate(values)


@pytest.mark.parametrize(
    ("given", "where", "db"),
    [
        (spec(address="redis:6380", db=2), "redis:6380", 2),
        (spec(address="redis"), "redis", 0),
        (spec(sentinel={"master_name": "m", "addresses": ["s1:26379", "s2:26379"]}), "s1:26379", 0),
        (spec(cluster={"addresses": ["c1:6379", "c2:6379"]}), "c1:6379", 0),
    ],
)
async def test_where_a_fleets_redis_is(given: RedisSpec, where: str, db: int) -> None:
    connections = of_spec(given)
    assert (connections.where, connections.db) == (where, db)
    assert where_of(given) == where
    await connections.close()


@pytest.mark.parametrize("bad", ["localhost:6379", "http://x", "redis://h:port"])
def test_a_url_that_makes_no_sense_is_told(bad: str) -> None:
    with pytest.raises(CannotStartError):
        of_url(bad)


async def test_no_credential_shows_where_redis_is() -> None:
    connections = of_url("redis://user:secret@h:1/3")
    assert (connections.where, connections.db) == ("h:1", 3)
    assert "secret" not in repr(Options("h:1", "redis://h", "secret"))
    await connections.close()


async def test_a_password_comes_from_its_file_at_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    asks = spec(address="r:1", username="u", password_secret={"name": "s", "key": "k"})
    connections = Options("h:1", access=access_to({"r:1": file}, {}, {})).connections(asks)
    provider = connections.pubsub.connection_pool.connection_kwargs["credential_provider"]
    assert provider.get_credentials() == ("u", "first")
    file.write_text("second")
    assert provider.get_credentials() == ("u", "second")
    await connections.close()


def test_a_redis_that_asks_for_a_password_nobody_gave_is_told() -> None:
    asks = spec(address="r:1", password_secret=SecretKey(name="s", key="k").model_dump())
    with pytest.raises(CannotStartError, match="redis-password for r:1"):
        Options("h:1").connections(asks)

"""The records of jobs and of those who wait, as they lie in Redis: JSON <-> values. No secret is
ever part of one.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, fields
from typing import Any, Final

from pydantic_core import from_json as read_json
from pydantic_core import to_json as write_json

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.queue import Waiting
from mediafleet_scheduler.core.egress.redaction import redacted
from mediafleet_scheduler.psrpc.errors import Code, PsrpcError

_JOB_FIELDS: Final = frozenset(Job._fields)
_WAITING_FIELDS: Final = frozenset(field.name for field in fields(Waiting))


class UnreadableRecordError(ValueError):
    """What lies in Redis is no record of ours."""


@dataclass(frozen=True, slots=True)
class Record:
    """A job and what is to be told to a client that asks for the same id again."""

    job: Job
    answer: bytes = b""
    """A `livekit.EgressInfo` without the request in it; empty until the pod has answered."""
    error: PsrpcError | None = None
    """The pod's error answer; it is stored without the URLs in it."""


def to_json(record: Record) -> str:
    """The text to store."""
    job = record.job
    # What is not known is left out: Lua takes a null for true.
    data: dict[str, Any] = {
        name: value for name, value in zip(Job._fields, job, strict=True) if value is not None
    }
    if record.answer:
        data["answer"] = base64.b64encode(record.answer).decode()
    if record.error:
        data["code"] = record.error.code
        data["error"] = redacted(record.error.message)
    return write_json(data).decode()


def from_json(text: bytes | str) -> Record:
    """The record in a text.

    Raises:
        UnreadableRecordError: there is none.
    """
    try:
        data = read_json(text)
        job = {name: value for name, value in data.items() if name in _JOB_FIELDS}
        job["kind"] = RequestType(job["kind"])
        error = PsrpcError(Code.of(data["code"]), data["error"]) if "code" in data else None
        answer = data.get("answer")
        return Record(Job(**job), base64.b64decode(answer) if answer else b"", error)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnreadableRecordError(f"{type(error).__name__}: {error}") from error


def waiting_to_json(waiting: Waiting) -> str:
    """The text to store."""
    values = ((name, getattr(waiting, name)) for name in sorted(_WAITING_FIELDS))
    known = {name: value for name, value in values if value is not None}
    return write_json(known).decode()


def waiting_from_json(text: bytes | str) -> Waiting:
    """The entry in a text.

    Raises:
        UnreadableRecordError: there is none.
    """
    try:
        data = read_json(text)
        known = {name: value for name, value in data.items() if name in _WAITING_FIELDS}
        known["kind"] = RequestType(known["kind"])
        return Waiting(**known)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnreadableRecordError(f"{type(error).__name__}: {error}") from error

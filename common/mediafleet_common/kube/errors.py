"""Errors of calls to the API server, one for each way in which callers react.

KubeError
  UnreachableError     no answer, or one that says: later
  ConflictError        the object is no longer as it was seen
  AlreadyExistsError
  GoneError            there is no such object
  RefusedError         the object is refused: quota, admission, schema, rights
"""

from __future__ import annotations

import json
from typing import Any

from mediafleet_common.api.names import Reason


class KubeError(Exception):
    """A call failed; `word` is its class as a metric's label."""

    word = "other"


class UnreachableError(KubeError):
    """The API server did not answer in time, or is too busy."""

    word = "unreachable"


class ConflictError(KubeError):
    """The object is no longer as it was seen."""

    word = "conflict"


class AlreadyExistsError(KubeError):
    """There is an object of that name."""

    word = "already_exists"


class GoneError(KubeError):
    """There is no such object."""

    word = "gone"


class RefusedError(KubeError):
    """The API server, or an admission webhook, refuses the object."""

    word = "refused"

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def of_answer(status: int, body: bytes) -> KubeError:
    """The error of an HTTP answer that is none of 2xx. Body: a metav1.Status, mostly."""
    try:
        answer: Any = json.loads(body)
    except ValueError:
        answer = {}
    answer = answer if isinstance(answer, dict) else {}
    message = str(answer.get("message") or body[:300].decode("utf-8", "replace"))
    text = f"HTTP {status}: {message}"
    if status == 404:
        return GoneError(text)
    if status == 409:
        exists = answer.get("reason") == "AlreadyExists"
        return AlreadyExistsError(text) if exists else ConflictError(text)
    if status in (400, 422):
        return RefusedError(Reason.TEMPLATE_INVALID, message)
    if status == 403:
        quota = "exceeded quota" in message
        return RefusedError(Reason.QUOTA_EXCEEDED if quota else Reason.ADMISSION_REFUSED, message)
    if status == 500 and "webhook" in message:
        return RefusedError(Reason.ADMISSION_REFUSED, message)
    if status == 429 or status >= 500:
        return UnreachableError(text)
    return KubeError(text)

"""What a condition of a resource says, and since when. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mediafleet_common.api.names import Reason
from mediafleet_common.formats.times import rfc3339

MAX_MESSAGE_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """What a condition says at this moment; the message moves only when there is something else
    to say."""

    status: Literal["True", "False", "Unknown"]
    reason: Reason
    message: str


def transition_time(finding: Finding, before: tuple[str, str] | None, now: float) -> str:
    """The time for a condition as RFC 3339: it moves only when the status does.

    `before` is the status and the time that the condition has on the resource.
    """
    if before is not None and before[0] == finding.status:
        return before[1]
    return rfc3339(now)

"""Times as Kubernetes writes them: RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

Fraction = Literal["seconds", "milliseconds", "microseconds"]


def rfc3339(at: float, fraction: Fraction = "seconds") -> str:
    """Unix time as text in UTC; conditions have whole seconds, leases and Events microseconds."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec=fraction)
    return text.replace("+00:00", "Z")


def unix(text: object) -> float | None:
    """Unix time of a text with a zone; `None` when it is none."""
    if not isinstance(text, str):
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if parsed.tzinfo is None else parsed.timestamp()

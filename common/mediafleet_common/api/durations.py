"""Durations as people write them in a resource: `500ms`, `30s`, `7m`, `1h30m`."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from mediafleet_common.api.base import rules

PATTERN: Final = r"^(([0-9]{1,9}(\.[0-9]+)?(ms|s)|[0-9]{1,7}(\.[0-9]+)?m|[0-9]{1,5}(\.[0-9]+)?h))+$"
"""Of few digits: a pod's grace period has to fit what Kubernetes counts, nanoseconds in 64 bits."""
EXAMPLES: Final = "write for example 500ms, 30s, 7m or 1h30m"
_MAX_CHARACTERS: Final = 32
_PART: Final = re.compile(r"([0-9]{1,32}(?:\.[0-9]{1,32})?)(ms|s|m|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """Seconds of a duration such as `1h30m`.

    Raises:
        ValueError: the text is not a duration.
    """
    if len(text) > _MAX_CHARACTERS or not re.fullmatch(PATTERN, text):
        raise ValueError(f"{text[:_MAX_CHARACTERS]!r} is not a duration: {EXAMPLES}")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def _checked(value: object) -> object:
    if isinstance(value, str):
        seconds(value)
    return value


Duration = Annotated[
    str,
    BeforeValidator(_checked),
    Field(
        json_schema_extra={
            "maxLength": _MAX_CHARACTERS,
            # A rule and not a pattern: the API server then says what to write, not what failed.
            **rules(
                (f"self.matches('{PATTERN}')".replace("\\", "\\\\"), f"not a duration: {EXAMPLES}")
            ),
        }
    ),
]
"""A duration as text; `seconds()` gives its value."""

"""Durations as people write them in a resource: `500ms`, `30s`, `7m`, `1h30m`."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

PATTERN: Final = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """Seconds of a duration such as `1h30m`.

    Raises:
        ValueError: the text is not a duration.
    """
    if not re.match(PATTERN, text):
        raise ValueError(f"{text!r} is not a duration: write for example 500ms, 30s, 7m or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def _checked(value: object) -> object:
    if isinstance(value, str):
        seconds(value)
    return value


Duration = Annotated[
    str, BeforeValidator(_checked), Field(json_schema_extra={"pattern": PATTERN, "maxLength": 32})
]
"""A duration as text; `seconds()` gives its value."""

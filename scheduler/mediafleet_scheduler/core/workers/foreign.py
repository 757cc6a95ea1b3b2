"""JSON from elsewhere, read so that whatever comes of it can be written again. Pure.

Python reads more than it can write: nesting up to its stack, numbers that are none, halves of
characters. A task that is read and cannot be passed on would fail in the middle of a step.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

MOST_DEPTH: Final = 128
"""Lists and objects within each other."""
# A string that has no end ends with the text: no place is looked at twice.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[{\]}]', re.DOTALL)
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def read_json(text: bytes | str) -> Any:
    """A JSON value.

    Raises:
        ValueError: it is none, or no other program would read what we made of it.
    """
    data = text.encode() if isinstance(text, str) else text
    if data.count(b"[") + data.count(b"{") > MOST_DEPTH and _depth(data) > MOST_DEPTH:
        raise ValueError(f"more than {MOST_DEPTH} lists and objects within each other")
    value = json.loads(data.decode(), parse_constant=_constant, parse_float=_float)
    if _HALF.search(data):
        # Raises UnicodeEncodeError, which is a ValueError, of half a character.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _depth(data: bytes) -> int:
    """How deep brackets are within each other, outside of strings."""
    depth = most = 0
    for found in _TOKEN.finditer(data):
        token = data[found.start()]
        if token in b"[{":
            depth += 1
            most = max(most, depth)
        elif token in b"]}":
            depth -= 1
    return most


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number

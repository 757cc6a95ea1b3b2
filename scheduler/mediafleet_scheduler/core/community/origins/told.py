"""What doors and advertisers tell a reporter, under names of the day. Pure.

A text holds no address: a source is its name under the day's key, and a place is a cell.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mediafleet_scheduler.core.community.cells import Cell, named
from mediafleet_scheduler.core.community.windows import Use

FRESH_SECONDS: Final = 45.0
"""An older text is of who has stopped, or hangs: it says nothing of now."""
MOST_SOURCES: Final = 10_000
"""Of one who tells."""
_AHEAD_SECONDS: Final = 45.0
"""Clocks differ."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Source(_Form):
    name: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    cell: Annotated[str, Field(max_length=80)]
    streams: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    asks: bool = False


class _Told(_Form):
    at: float
    key: str
    why: Annotated[str, Field(max_length=300)] | None = None
    sources: Annotated[list[_Source], Field(max_length=MOST_SOURCES)]


@dataclass(frozen=True, slots=True)
class Heard:
    """What all who tell say together."""

    uses: list[Use]
    tellers: int
    """Whose text counts."""
    stale: frozenset[str]
    """Who told too long ago, in another form or under another key."""
    why: str | None
    """What one of them complains about."""


def key_id(key: bytes) -> str:
    """What tells keys apart and shows nothing of them."""
    return hashlib.sha256(b"mediafleet key id " + key).hexdigest()[:16]


def as_told(at: float, key: bytes, uses: Iterable[Use], why: str | None = None) -> str:
    """The text of one who tells; of too many sources, the first are told."""
    sources = [
        {"name": each.source, "cell": each.cell[-1], "streams": each.streams, "asks": each.asks}
        for each in list(uses)[:MOST_SOURCES]
    ]
    return json.dumps({"at": at, "key": key_id(key), "why": why, "sources": sources})


def heard(texts: Iterable[tuple[str, str]], key: bytes, now: float) -> Heard:
    """All texts together.

    A source that several tell of has the streams of all of them, and the finest of its places.

    Args:
        texts: who tells, and what.
        key: of the day; a text under another key counts as none.
        now: Unix seconds.
    """
    read = {who: _read(text, key, now) for who, text in texts}
    fresh = [each for each in read.values() if each is not None]
    together: dict[str, Use] = {}
    for each in fresh:
        for source in each.sources:
            use = Use(source.name, _cell(source.cell), source.streams, source.asks)
            known = together.get(source.name)
            together[source.name] = use if known is None else _both(known, use)
    return Heard(
        [together[name] for name in sorted(together)],
        len(fresh),
        frozenset(who for who, each in read.items() if each is None),
        next((each.why for each in fresh if each.why), None),
    )


def _both(one: Use, other: Use) -> Use:
    cell = max(one.cell, other.cell, key=lambda each: (len(each), each))
    return Use(one.source, cell, one.streams + other.streams, one.asks or other.asks)


def _read(text: str, key: bytes, now: float) -> _Told | None:
    try:
        told = _Told.model_validate_json(text)
    except ValidationError:
        return None
    is_fresh = -_AHEAD_SECONDS <= now - told.at <= FRESH_SECONDS
    return told if is_fresh and told.key == key_id(key) else None


def _cell(name: str) -> Cell:
    try:
        return named(name)
    except ValueError:
        return named("world")

"""What desks, brokers and nodes tell a reporter of work, under names of the day. Pure.

A text holds no address: a source is its name under the day's key, and a cell is a name that may be
shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mediafleet_scheduler.core.community.origins.told import FRESH_SECONDS, key_id
from mediafleet_scheduler.core.community.work.kinds import FAMILY, Family, Kind, Work, cell

MOST_WORK: Final = 10_000
"""Of one who tells."""
_AHEAD_SECONDS: Final = 45.0
"""Clocks differ."""
_KINDS: Final = frozenset(kind.value for kind in Kind)
_FAMILIES: Final = frozenset(family.value for family in Family)


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Work(_Form):
    source: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    family: Annotated[str, Field(max_length=20)]
    amount: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
    cells: Annotated[dict[str, Annotated[str, Field(max_length=170)]], Field(max_length=20)]


class _Told(_Form):
    at: float
    key: str
    kinds: Annotated[list[str], Field(max_length=20)]
    work: Annotated[list[_Work], Field(max_length=MOST_WORK)]


@dataclass(frozen=True, slots=True)
class HeardWork:
    """What all who tell say together."""

    work: list[Work]
    kinds: frozenset[Kind]
    """Of which somebody tells: nothing there is none, and not unknown."""
    stale: frozenset[str] = frozenset()
    """Who told too long ago, in another form or under another key."""

    @property
    def families(self) -> frozenset[Family]:
        """Of which it is known how much there is."""
        return frozenset(FAMILY[kind] for kind in self.kinds)


def as_told(at: float, key: bytes, work: Iterable[Work], kinds: Iterable[Kind]) -> str:
    """The text of one who tells of those kinds; of too much work, the first is told."""
    told = [
        {
            "source": each.source,
            "family": each.family.value,
            "amount": float(each.amount),
            "cells": {kind.value: cell(kind, name) for kind, name in each.cells.items()},
        }
        for each in list(work)[:MOST_WORK]
    ]
    names = sorted(kind.value for kind in kinds)
    return json.dumps({"at": at, "key": key_id(key), "kinds": names, "work": told})


def heard(texts: Iterable[tuple[str, str]], key: bytes, now: float) -> HeardWork:
    """All texts together. What this version does not know is left out.

    Args:
        texts: who tells, and what.
        key: of the day; a text under another key counts as none.
        now: Unix seconds.
    """
    read = {who: _read(text, key, now) for who, text in texts}
    fresh = [each for each in read.values() if each is not None]
    return HeardWork(
        [_work(each) for told in fresh for each in told.work if each.family in _FAMILIES],
        frozenset(Kind(name) for told in fresh for name in told.kinds if name in _KINDS),
        frozenset(who for who, each in read.items() if each is None),
    )


def _work(told: _Work) -> Work:
    cells = {Kind(name): where for name, where in told.cells.items() if name in _KINDS}
    return Work(told.source, Family(told.family), told.amount, cells)


def _read(text: str, key: bytes, now: float) -> _Told | None:
    try:
        told = _Told.model_validate_json(text)
    except ValidationError:
        return None
    is_fresh = -_AHEAD_SECONDS <= now - told.at <= FRESH_SECONDS
    return told if is_fresh and told.key == key_id(key) else None

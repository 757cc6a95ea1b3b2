"""Attempts of a task as a broker leaves them to the one that takes the task over. Pure.

An attempt's id is its secret: 63 random bits that its worker, its broker and Redis know. So a
result that comes after a broker's restart is tied to its task, and to who may post it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mediafleet_scheduler.core.workers.foreign import read_json

MOST: Final = 8
"""Of one task; the latest count."""
_MOST_NAME: Final = 256


@dataclass(frozen=True, slots=True)
class Given:
    """An attempt."""

    attempt: int
    known_as: str | None = None
    """Whose the worker's secret is, by the file of workers; `None`: it is shared."""


def given_text(given: Iterable[Given]) -> str:
    """As Redis holds them."""
    return json.dumps(
        [[each.attempt, each.known_as] for each in given][-MOST:], separators=(",", ":")
    )


def given_of(text: str) -> tuple[Given, ...]:
    """Attempts that Redis holds; what is none is left out."""
    try:
        told = read_json(text)
    except ValueError:
        return ()
    found = [_given(each) for each in told] if isinstance(told, list) else []
    return tuple(each for each in found if each is not None)[-MOST:]


def _given(told: object) -> Given | None:
    if not isinstance(told, list) or len(told) != 2:
        return None
    attempt, known_as = told
    if type(attempt) is not int or not 0 < attempt < 1 << 63:
        return None
    if known_as is not None and not (isinstance(known_as, str) and len(known_as) <= _MOST_NAME):
        return None
    return Given(attempt, known_as)

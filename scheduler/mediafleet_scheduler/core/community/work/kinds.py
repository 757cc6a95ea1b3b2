"""Kinds of work that may be shared beside streams, each off until it is named. Pure.

A kind divides one family of work into cells: jobs of egress by their type, and the same jobs by
their resolution. No figure is of two kinds at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mediafleet_common.api.egress.costs import RequestType


class Family(StrEnum):
    """What is counted."""

    EGRESS = "egress"
    """Jobs that run."""
    AI = "ai"
    """Tasks that have come and have no answer yet."""
    PIXELS = "pixels"
    """Megapixels a second that are transcoded."""


class Kind(StrEnum):
    """How it is divided; the name in the file, in the resource and in every output."""

    EGRESS_BY_TYPE = "egressByType"
    EGRESS_BY_RESOLUTION = "egressByResolution"
    EGRESS_MINUTES = "egressMinutes"
    """Minutes of all jobs in the hour."""
    AI_BY_TYPE = "aiByType"
    AI_BY_MODEL = "aiByModel"
    PIXELS = "pixels"


FAMILY: Final[Mapping[Kind, Family]] = {
    Kind.EGRESS_BY_TYPE: Family.EGRESS,
    Kind.EGRESS_BY_RESOLUTION: Family.EGRESS,
    Kind.EGRESS_MINUTES: Family.EGRESS,
    Kind.AI_BY_TYPE: Family.AI,
    Kind.AI_BY_MODEL: Family.AI,
    Kind.PIXELS: Family.PIXELS,
}
TITLES: Final[Mapping[str, str]] = {
    Kind.EGRESS_BY_TYPE.value: "Egress jobs, by type",
    Kind.EGRESS_BY_RESOLUTION.value: "Egress jobs, by resolution",
    Kind.EGRESS_MINUTES.value: "Egress, minutes in the hour",
    Kind.AI_BY_TYPE.value: "AI tasks, by pipeline",
    Kind.AI_BY_MODEL.value: "AI tasks, by model",
    Kind.PIXELS.value: "Transcoding, megapixels a second",
}
"""For people: what is counted, and in what unit. Levels are averages of the hour."""
ALL: Final = "all"
"""The cell of what has no cell of its own."""
LINES: Final = (360, 480, 720, 1080, 1440, 2160)
"""Resolutions are told in these classes, by the shorter side."""
_CELL: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}(/[A-Za-z0-9][A-Za-z0-9._-]{0,79})?$")
CELL_PATTERN: Final = _CELL.pattern
_ADDRESS: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}|0[xX][0-9A-Fa-f]{8}|[0-9A-Fa-f]{32}")
_TYPES: Final = frozenset(each.value for each in RequestType)
_RESOLUTIONS: Final = frozenset(f"{lines}p" for lines in LINES)


@dataclass(frozen=True, slots=True)
class Work:
    """What one source has of one thing at one moment."""

    source: str
    """Its name of the day; of work whose source is not known, one name for all."""
    family: Family
    amount: float
    """In the family's unit."""
    cells: Mapping[Kind, str] = field(default_factory=dict)
    """Where it counts; in the cell `all` of a kind that is not here."""


def resolution(lines: int | None) -> str:
    """The class of a picture: the least that is no smaller; `all`: unknown.

    Args:
        lines: its shorter side in pixels.
    """
    if lines is None or lines <= 0:
        return ALL
    return f"{next((each for each in LINES if lines <= each), LINES[-1])}p"


def cell(kind: Kind, name: str) -> str:
    """The cell of a name as it may be shown; `all` for what could be an address, or is no name."""
    match kind:
        case Kind.EGRESS_BY_TYPE:
            return name if name in _TYPES else ALL
        case Kind.EGRESS_BY_RESOLUTION:
            return name if name in _RESOLUTIONS else ALL
        case Kind.AI_BY_TYPE | Kind.AI_BY_MODEL:
            return name if _CELL.fullmatch(name) and not _ADDRESS.search(name) else ALL
        case _:
            return ALL

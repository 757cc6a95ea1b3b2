"""Where demand comes from: a tree of cells, the world at its root. Pure.

A cell is its path from the world down, each name finer than the one before. A bin of the grid is
named by its size and its south-west corner, in degrees: `05+50+010` is 50-55 N, 10-15 E.
"""

from __future__ import annotations

import math
from typing import Final

Cell = tuple[str, ...]

WORLD: Final[Cell] = ("world",)
SIZES_DEGREES: Final = (45, 15, 5)
"""Sides of the bins, coarse to fine. Nothing finer than the last exists in any output."""


def grid(latitude: float, longitude: float) -> Cell:
    """The finest bin of a place, with all bins around it.

    Args:
        latitude: degrees north, -90 to 90.
        longitude: degrees east; any number of turns.

    Raises:
        ValueError: not a place.
    """
    if not (math.isfinite(latitude) and math.isfinite(longitude) and -90 <= latitude <= 90):
        raise ValueError(f"latitude {latitude}, longitude {longitude} are no place on earth")
    east = (longitude + 180) % 360 - 180
    return (*WORLD, *(_bin(size, latitude, east) for size in SIZES_DEGREES))


def country(code: str) -> Cell:
    """The cell of a country, ISO 3166 in two letters, where a database knows no more."""
    return (*WORLD, f"country {code.upper()}")


def region(label: str) -> Cell:
    """The cell that an operator names himself."""
    return (*WORLD, f"region {label}")


def within(cell: Cell, other: Cell) -> bool:
    """Whether a cell is another, or lies in it."""
    return cell[: len(other)] == other


def _bin(size: int, latitude: float, longitude: float) -> str:
    # The pole belongs to the northernmost bin.
    south = min(math.floor(latitude / size) * size, 90 - size)
    west = math.floor(longitude / size) * size
    return f"{size:02d}{south:+03d}{west:+04d}"

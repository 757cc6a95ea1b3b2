"""Where demand comes from: a tree of cells, the world at its root. Pure.

A cell is its path from the world down, each name finer than the one before. A bin of the grid is
named by its size and its south-west corner, in degrees: `05+50+010` is 50-55 N, 10-15 E.
"""

from __future__ import annotations

import math
import re
from typing import Final

Cell = tuple[str, ...]

WORLD: Final[Cell] = ("world",)
SIZES_DEGREES: Final = (45, 15, 5)
"""Sides of the bins, coarse to fine. Nothing finer than the last exists in any output."""
_BIN: Final = re.compile(r"(45|15|05)([+-][0-9]{2})([+-][0-9]{3})")


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


def named(name: str) -> Cell:
    """The cell of a name, as outputs show it: `world`, `country DE`, `region eu-west`, or a bin.

    Raises:
        ValueError: no cell has that name.
    """
    kind, _, rest = name.partition(" ")
    cell = WORLD
    if found := _BIN.fullmatch(name):
        size, south, west = (int(each) for each in found.groups())
        cell = grid(south + size / 2, west + size / 2)[: 2 + SIZES_DEGREES.index(size)]
    elif kind == "country":
        cell = country(rest)
    elif kind == "region":
        cell = region(rest)
    if cell[-1] != name:
        raise ValueError(f"{name!r} is no cell")
    return cell


def within(cell: Cell, other: Cell) -> bool:
    """Whether a cell is another, or lies in it."""
    return cell[: len(other)] == other


def _bin(size: int, latitude: float, longitude: float) -> str:
    # The pole belongs to the northernmost bin.
    south = min(int(latitude // size) * size, 90 - size)
    west = int(longitude // size) * size
    return f"{size:02d}{south:+03d}{west:+04d}"

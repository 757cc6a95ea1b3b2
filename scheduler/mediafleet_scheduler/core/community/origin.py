"""The cell of a caller's place. Pure."""

from __future__ import annotations

from mediafleet_scheduler.core.community.cells import WORLD, Cell, country, grid


def cell_of(record: object) -> Cell:
    """The finest cell that a record of a geographical database names; the world: it names none.

    Read are `location.latitude` and `location.longitude`, else `country.iso_code`, else
    `country_code` of databases that are flat.
    """
    if not isinstance(record, dict):
        return WORLD
    place = _at(record.get("location"))
    if place is not None:
        return place
    nested = record.get("country")
    code = nested.get("iso_code") if isinstance(nested, dict) else record.get("country_code")
    if isinstance(code, str) and len(code) == 2 and code.isascii() and code.isalpha():
        return country(code)
    return WORLD


def _at(location: object) -> Cell | None:
    if not isinstance(location, dict):
        return None
    latitude, longitude = location.get("latitude"), location.get("longitude")
    if not isinstance(latitude, int | float) or not isinstance(longitude, int | float):
        return None
    try:
        return grid(latitude, longitude)
    except ValueError:
        return None

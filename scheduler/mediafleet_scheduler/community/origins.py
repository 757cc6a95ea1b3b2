"""Where gateways call from, by the operator's database, and a word when it knows none of them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from mediafleet_scheduler.core.community.cells import WORLD, Cell
from mediafleet_scheduler.core.community.origin import cell_of
from mediafleet_scheduler.directory.region_database import RegionDatabase

LEAST_LOOKUPS: Final = 20
"""So many sources without a hit are no chance."""

_log: Final = logging.getLogger(__name__)


class Origins:
    """A database of places; without one all origins are the world."""

    def __init__(self, path: Path | None) -> None:
        self._database = None if path is None else RegionDatabase(path)
        self._looked_up = 0
        self._has_hit = False
        """Its form is known, for as long as the file is this one."""

    @property
    def complaint(self) -> str | None:
        """Why no origin is known; `None`: one is, or it is too early to say."""
        if self._has_hit or self._looked_up < LEAST_LOOKUPS:
            return None
        return (
            f"the database of regions places none of {self._looked_up} gateways: give one of "
            "countries or cities, with location, country.iso_code or country_code"
        )

    def reopen(self) -> None:
        """Take a newer file, where there is one; what the one before did not know is forgotten."""
        if self._database is not None and self._database.reopened():
            self._looked_up = 0
            self._has_hit = False

    def of(self, peer: str) -> Cell:
        """The cell that an address lies in."""
        if self._database is None:
            return WORLD
        record = self._database.record(peer)
        cell = WORLD if record is None else cell_of(record)
        self._has_hit = self._has_hit or cell != WORLD
        self._looked_up += 1
        if self._looked_up == LEAST_LOOKUPS and self.complaint is not None:
            _log.warning("%s", self.complaint)
        return cell

"""The regions of callers, by the pool's table and by a database of countries if there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mediafleet_common.api.pool.advertise import GatewayRegion
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_scheduler.core.advertise.regions import Place, RegionTable
from mediafleet_scheduler.core.advertise.views import PoolView
from mediafleet_scheduler.directory.region_database import RegionDatabase

_KEPT: Final = 4096
"""Between two looks at whether the database was replaced."""


class Geography:
    """The regions of a pool's callers; results are cached by address."""

    def __init__(
        self, database: Path | None = None, clock: Clock = SYSTEM, look_seconds: float = 60.0
    ) -> None:
        self._look_seconds = look_seconds
        self._database = None if database is None else RegionDatabase(database)
        self._clock = clock
        self._looked_at = float("-inf")
        self._regions: tuple[GatewayRegion, ...] = ()
        self._table: RegionTable | None = None
        self._known: dict[str, str | None] = {}

    def take(self, view: PoolView) -> None:
        """Go by the table of this pool."""
        regions = tuple(view.advertise.regions)
        if regions != self._regions:
            self._regions = regions
            self._table = RegionTable(regions) if regions else None
            self._known.clear()

    @property
    def matters(self) -> bool:
        """Whether the pool has regions at all."""
        return self._table is not None

    def of(self, address: str) -> str | None:
        """The region of an IP address; `None`: unknown, or the pool has no regions."""
        if self._table is None:
            return None
        self._look()
        if address not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[address] = self._table.region(address, self._place)
        return self._known[address]

    def _look(self) -> None:
        if self._database is None or self._clock.monotonic() - self._looked_at < self._look_seconds:
            return
        self._looked_at = self._clock.monotonic()
        if self._database.reopened():
            self._known.clear()

    def _place(self, address: str) -> Place | None:
        found = None if self._database is None else self._database.record(address)
        if not isinstance(found, dict):
            return None
        return Place(_text(found.get("country"), "iso_code"), _text(found.get("continent"), "code"))


def _text(record: object, key: str) -> str | None:
    value = record.get(key) if isinstance(record, dict) else None
    return value if isinstance(value, str) else None

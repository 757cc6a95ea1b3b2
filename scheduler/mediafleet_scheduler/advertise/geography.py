"""The regions of callers, by the pool's table and by a database of countries if there is one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import maxminddb

from mediafleet_common.api.advertise import GatewayRegion
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.core.advertise.regions import Place, RegionTable
from mediafleet_scheduler.core.advertise.views import PoolView

_log: Final = logging.getLogger(__name__)
_KEPT: Final = 4096
"""Between two looks at whether the database was replaced."""


class Geography:
    """The regions of a pool's callers; results are cached by address."""

    def __init__(
        self, database: Path | None = None, clock: Clock = SYSTEM, look_seconds: float = 60.0
    ) -> None:
        self._look_seconds = look_seconds
        self._database = None if database is None else _Database(database)
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
        return None if self._database is None else self._database.place(address)


class _Database:
    """A file in MaxMind's format, which may come later or be replaced while we run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._reader: maxminddb.Reader | None = None
        self._complained = False

    def reopened(self) -> bool:
        """Open the file if it is another one than before; whether it was."""
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp == self._stamp:
                return False
            # Into memory: a mapped file that is overwritten in place would change under the reader.
            reader = maxminddb.open_database(self._path, maxminddb.MODE_MEMORY)
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            if not self._complained:
                _log.error("the database of regions cannot be read: %s", printable(str(error)))
            self._complained = True
            return False
        self._reader, self._stamp, self._complained = reader, stamp, False
        return True

    def place(self, address: str) -> Place | None:
        """Where an IP address is."""
        if self._reader is None:
            return None
        try:
            found = self._reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError):
            return None  # an IPv6 address where it knows IPv4 only, or it is damaged here
        if not isinstance(found, dict):
            return None
        return Place(_text(found.get("country"), "iso_code"), _text(found.get("continent"), "code"))


def _text(record: object, key: str) -> str | None:
    value = record.get(key) if isinstance(record, dict) else None
    return value if isinstance(value, str) else None

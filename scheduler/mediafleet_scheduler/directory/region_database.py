"""A database of places by IP address, in MaxMind's format, which the operator brings."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import maxminddb

from mediafleet_common.serving.logs import printable

_log: Final = logging.getLogger(__name__)


class RegionDatabase:
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

    def record(self, address: str) -> object:
        """What the database has of an IP address; `None`: nothing."""
        if self._reader is None:
            return None
        try:
            return self._reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError):
            return None  # an IPv6 address where it knows IPv4 only, or it is damaged here

"""Closed hours on disk, so that a restart does not forget what was published.

A folder holds a file for each UTC day, today's groups, and a mark once the operator has left. A
file is written whole under another name, flushed and renamed: a crash leaves the old or the new.
No address and no name of a source is in it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from mediafleet_common.serving.run import CannotStartError
from mediafleet_common.serving.small_files import read_small
from mediafleet_scheduler.core.community.groups import Groups
from mediafleet_scheduler.core.community.publishing import HourRecord
from mediafleet_scheduler.core.community.stored import (
    NotStoredError,
    as_stored,
    day_of,
    from_stored,
    groups_as_stored,
    groups_from_stored,
    is_kept,
    is_left_by_file,
    work_groups_from_stored,
)
from mediafleet_scheduler.core.community.work.counting import WorkGroups

MOST_DAY_BYTES: Final = 1024 * 1024
"""A day that would be larger is not stored: 8 weeks take 56 MiB at most."""
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_GROUPS: Final = "groups.json"
_LEFT: Final = "left"

_log: Final = logging.getLogger(__name__)


class State:
    """One folder.

    Raises:
        CannotStartError: when made, if the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.complaint: str | None = None
        """Why the newest hour is not on disk; `None`: it is."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for each in folder.glob(".*.new"):
                each.unlink()
        except OSError as error:
            raise CannotStartError(f"--community-state {folder}: {error.strerror}") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise CannotStartError(f"--community-state {folder}: it cannot be written")

    @property
    def left(self) -> bool:
        """Whether the operator has left: nothing is counted or published any more."""
        return (self.folder / _LEFT).exists()

    def days(self) -> list[str]:
        """The days that are kept, oldest first."""
        return sorted(
            each.stem for each in self.folder.glob("*.jsonl") if _DAY.fullmatch(each.stem)
        )

    def day(self, day: str) -> list[HourRecord]:
        """The hours of a day, oldest first; none where its file is missing or broken."""
        if not _DAY.fullmatch(day):
            return []
        try:
            return from_stored(read_small(self._file(day), MOST_DAY_BYTES))
        except FileNotFoundError:
            return []
        except (OSError, NotStoredError) as error:
            _log.warning("the day %s of community metrics is lost: %s", day, error)
            return []

    def groups(self, now: float, k: int) -> Groups | None:
        """Today's groups; `None`: they are not known."""
        try:
            stored = read_small(self.folder / _GROUPS)
            cells = groups_from_stored(stored, day_of(now), k)
        except FileNotFoundError:
            return None
        except (OSError, NotStoredError) as error:
            _log.warning("today's groups of community metrics are lost: %s", error)
            return None
        return None if cells is None else Groups(cells)

    def keep(self, records: Sequence[HourRecord], now: float) -> None:
        """Write the hours of the newest record's day, and drop days that are too old."""
        day = day_of(records[-1].start)
        self._write(
            self._file(day), as_stored(each for each in records if day_of(each.start) == day)
        )
        self._drop(each for each in self.days() if not is_kept(each, now))

    def work_groups(self, now: float, k: int) -> WorkGroups:
        """Today's groups of work; empty: they are not known."""
        try:
            stored = read_small(self.folder / _GROUPS)
        except OSError:
            return {}
        return work_groups_from_stored(stored, day_of(now), k)

    def keep_groups(
        self, groups: Groups, now: float, k: int, work: WorkGroups | None = None
    ) -> None:
        """Write today's groups, and those of work."""
        self._write(self.folder / _GROUPS, groups_as_stored(day_of(now), k, groups.cells, work))

    @property
    def left_note(self) -> bytes:
        """What stands in the mark of one who has left; empty: nothing, or there is none."""
        try:
            return read_small(self.folder / _LEFT)
        except OSError:
            return b""

    def note_left(self, note: bytes) -> None:
        """Write the mark anew."""
        self._write(self.folder / _LEFT, note)

    def come_back(self) -> None:
        """Share again, where it was the file that said to leave."""
        if is_left_by_file(self.left_note):
            (self.folder / _LEFT).unlink(missing_ok=True)

    def leave(self, note: bytes = b"") -> int:
        """Stop for good, and delete what is kept; the number of days deleted."""
        self.note_left(note)
        if not self.left:
            raise CannotStartError(f"{self.folder}: {self.complaint}")
        days = self.days()
        self._drop(days)
        (self.folder / _GROUPS).unlink(missing_ok=True)
        return len(days) - len(self.days())

    def _file(self, day: str) -> Path:
        return self.folder / f"{day}.jsonl"

    def _drop(self, days: Iterable[str]) -> None:
        for each in days:
            try:
                self._file(each).unlink(missing_ok=True)
            except OSError as error:
                _log.warning("%s is not deleted: %s", self._file(each), error)

    def _write(self, file: Path, content: bytes) -> None:
        if len(content) > MOST_DAY_BYTES:
            self._complain(file, f"it would hold more than {MOST_DAY_BYTES} bytes")
            return
        fresh = file.with_name(f".{file.name}.new")
        try:
            with fresh.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            fresh.replace(file)
        except OSError as error:
            self._complain(file, error.strerror or str(error))
        else:
            self.complaint = None

    def _complain(self, file: Path, why: str) -> None:
        self.complaint = why
        _log.warning("%s is not written: %s", file, why)

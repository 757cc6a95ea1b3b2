"""The folders of replicas that share no Redis, read beside them: nothing in there is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mediafleet_common.serving.small_files import read_small
from mediafleet_scheduler.community.state import MOST_DAY_BYTES
from mediafleet_scheduler.core.community.publishing import HourRecord
from mediafleet_scheduler.core.community.rendering import DAY_HOURS
from mediafleet_scheduler.core.community.stored import NotStoredError, from_stored

_DAYS: Final = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].jsonl"


def last_day(folder: Path) -> list[HourRecord]:
    """The last 24 hours that a folder holds, oldest first; none where it holds none.

    Raises:
        NotStoredError: a file in it is of another form, or cannot be read; the text names it.
    """
    hours: list[HourRecord] = []
    for file in sorted(folder.glob(_DAYS))[-2:]:
        try:
            hours += from_stored(read_small(file, MOST_DAY_BYTES))
        except OSError as error:
            raise NotStoredError(f"{file}: {error.strerror}") from error
        except NotStoredError as error:
            raise NotStoredError(f"{file}: {error}") from error
    return hours[-DAY_HOURS:]

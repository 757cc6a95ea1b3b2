"""Locks between processes: one builder per artefact, one `up` or `down` per instance."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import TestbedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLL_SECONDS = 0.1
DEFAULT_TIMEOUT_SECONDS = 1800.0
"""Longer than the longest build, which is what another process may be doing under the lock."""


@contextmanager
def locked(path: Path, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Iterator[None]:
    """Hold the lock file; the kernel lets go of it when the process dies, so it is never stale."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout_seconds
    with path.open("a") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TestbedError(
                        f"another process holds {path} for {timeout_seconds:.0f} s; "
                        "see who does: fuser " + str(path)
                    ) from None
                time.sleep(POLL_SECONDS)
        yield

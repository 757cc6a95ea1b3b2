"""The one source of time, handed down from the command that starts a process.

Rules take a moment as an argument; shells hold a `Clock` and read it. A test hands down another.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Clock:
    """Reads two clocks of the machine."""

    unix: Callable[[], float] = time.time
    """Seconds since 1970; may jump. For what leaves the process: timestamps, expiries."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds since some moment; never goes back. For how long something took or may take."""

    def unix_ns(self) -> int:
        """The same moment as `unix`, in nanoseconds, as psrpc writes it."""
        return int(self.unix() * 1e9)


SYSTEM: Final = Clock()

"""Commands that end with all that they started: each is a session, and so a group, of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

END_SECONDS: Final = 10.0
"""Between SIGTERM and SIGKILL: a run takes down what it has up."""
GONE_SECONDS: Final = 2.0
"""Until what was sent SIGKILL is gone; where nobody waits for it, it never is."""
_LOOK_SECONDS: Final = 0.05


@dataclass(slots=True)
class ProcessGroups:
    """Those that are under way, in any thread."""

    end_seconds: float = END_SECONDS
    _alive: set[int] = field(default_factory=set)
    _stopped: bool = False

    def run(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        out: IO[str] | None,
        seconds: float,
    ) -> int | None:
        """Its exit status; `None`: it had not ended after `seconds`. Nothing of it lives on."""
        if self._stopped:
            raise KeyboardInterrupt
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdout=out, stderr=out, start_new_session=True
        )
        self._alive.add(process.pid)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        except BaseException:
            # It was sent the same signal, and may have something to say at its end.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.end_seconds)
            raise
        finally:
            self._end(process)
            self._alive.discard(process.pid)

    def stop(self, number: int, _: object = None) -> None:
        """A signal's handler: hand it on, since a terminal's Ctrl-C reaches no other session."""
        self._stopped = True
        for group in tuple(self._alive):
            _send(group, number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End what is left of a group, politely first."""
        for number, seconds in ((signal.SIGTERM, self.end_seconds), (signal.SIGKILL, GONE_SECONDS)):
            there, until = _send(process.pid, number), time.monotonic() + seconds
            while there and time.monotonic() < until:
                time.sleep(_LOOK_SECONDS)
                process.poll()
                there = _send(process.pid, 0)
            if not there:
                break
        process.wait()


def _send(group: int, number: int) -> bool:
    """Whether anybody of a group is there to be sent a signal."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True

"""Say what is being waited for, and how long it usually takes.

On a terminal a bar that fills over the usual time (and waits at 95 % when that has passed); in a
log one line when a step starts and one when it ends.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

console = Console(stderr=True, highlight=False, soft_wrap=True)

QUIET_BELOW_SECONDS = 2
"""A step that usually takes less is not worth a line in a log."""


def usual(seconds: float) -> str:
    """A duration as a person says it."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


class Step:
    """One thing that is waited for; call `tick` while waiting."""

    def __init__(self, usual_seconds: float, bar: Progress | None) -> None:
        self._usual = max(usual_seconds, 0.1)
        self._bar = bar
        self._started = time.monotonic()

    def tick(self) -> None:
        if self._bar is not None:
            done = min(self.seconds / self._usual, 0.95)
            self._bar.update(self._bar.task_ids[0], completed=done)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def wait(self, process: subprocess.Popen[bytes], timeout_seconds: float) -> int:
        """Wait for a process, ticking; its exit code, or TimeoutExpired."""
        while True:
            try:
                return process.wait(0.2)
            except subprocess.TimeoutExpired:
                self.tick()
                if self.seconds > timeout_seconds:
                    raise


@contextmanager
def step(what: str, usual_seconds: float) -> Iterator[Step]:
    """Announce `what`, e.g. "building kubelet v1.36.3"."""
    label = f"{what} (usually {usual(usual_seconds)})"
    if not console.is_terminal:
        loud = usual_seconds >= QUIET_BELOW_SECONDS
        if loud:
            console.print(label)
        shown = Step(usual_seconds, None)
        yield shown
        if loud:
            console.print(f"  {what}: {shown.seconds:.1f} s")
        sys.stderr.flush()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        bar.add_task(label, total=1.0)
        yield Step(usual_seconds, bar)

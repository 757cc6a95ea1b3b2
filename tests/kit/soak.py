"""The frame of a soak: the same work again and again, and how processes grow by it.

MEDIAFLEET_SOAK_SECONDS says for how long; a few seconds by itself. `make soak` has it for 30 min.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.kit.counted import Counts
from tests.kit.figures import Show
from tests.kit.trend import Trend, stepped, straight

from mediafleet_testbed.load.fuzzing import http_request

SECONDS: Final = float(os.environ.get("MEDIAFLEET_SOAK_SECONDS", "4"))
WARM_SECONDS: Final = min(SECONDS / 3, 900.0)
"""Until caches and pools have the size that they keep: they fill by operations, thousands of them,
and a machine that is busy takes its time for these."""
LONG_SECONDS: Final = 1500.0
"""Below it a slope says nothing: memory comes in steps of megabytes."""
GROWTH_MB: Final = 30.0
SLOPE_MB_AN_HOUR: Final = 1.0
MOST_DESCRIPTORS: Final = 20
MOST_TASKS: Final = 20
"""More than when it was warm: what is under way at one moment is a few more or less."""
_READ_SECONDS: Final = 20.0
_PAGE_MB: Final = os.sysconf("SC_PAGE_SIZE") / 1e6
_BLOCK_MB: Final = 64 / 1e6
"""Of a small block of Python's, on average."""


@dataclass(slots=True)
class Growth:
    """Readings of one process since it was warm."""

    name: str
    pid: int
    counts_file: Path | None = None
    """Where it tells what it has (tests/kit/counted.py); `None`: it does not."""
    samples: list[tuple[float, float, int]] = field(default_factory=list)
    """Seconds, resident megabytes, open descriptors."""
    counts: list[tuple[float, Counts]] = field(default_factory=list)
    """Each as it was asked for by the look before."""

    def look(self, at: float) -> None:
        """Take one reading."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        descriptors = len(list(Path(f"/proc/{self.pid}/fd").iterdir()))
        self.samples.append((at, pages * _PAGE_MB, descriptors))
        if self.counts_file is not None:
            if self.counts_file.exists():
                self.counts.append((at, Counts.read(self.counts_file)))
            os.kill(self.pid, signal.SIGUSR1)

    @property
    def resident(self) -> Trend:
        """Of the memory that it has of the system, in steps of a megabyte and more."""
        return stepped([(at, mb) for at, mb, _ in self.samples])

    @property
    def in_use(self) -> Trend:
        """Of what of it its allocators have given away, to the byte: what grows there, grows."""
        return straight([(at, e.malloc_mb + e.blocks * _BLOCK_MB) for at, e in self.counts])

    def faults(self) -> list[str]:
        """Where it grows."""
        megabytes = self.samples[-1][1] - self.samples[0][1]
        descriptors = self.samples[-1][2] - self.samples[0][2]
        wrong = [(f"{megabytes:+.1f} MB", megabytes >= GROWTH_MB)]
        wrong.append((f"{descriptors:+d} descriptors", descriptors > MOST_DESCRIPTORS))
        wrong.append((f"{self._more_tasks:+d} tasks", self._more_tasks > MOST_TASKS))
        if SECONDS >= LONG_SECONDS:
            resident, in_use = self.resident, self.in_use
            wrong.append((f"resident {resident}", resident.slope > SLOPE_MB_AN_HOUR))
            # It goes up and down with what waits for the collector: all of the interval counts.
            wrong.append((f"in use {in_use}", in_use.low > SLOPE_MB_AN_HOUR))
        return [f"{self.name}: {told}" for told, is_wrong in wrong if is_wrong]

    def __str__(self) -> str:
        (began, before, descriptors), (ended, after, more) = self.samples[0], self.samples[-1]
        return (
            f"{self.name}, {ended - began:.0f} of {SECONDS:g} s: {before:.1f} to {after:.1f} MB,"
            f" resident {self.resident}, in use {self.in_use},"
            f" {more - descriptors:+d} descriptors, {self._more_tasks:+d} tasks"
        )

    @property
    def _more_tasks(self) -> int:
        return self.counts[-1][1].tasks - self.counts[0][1].tasks if self.counts else 0


def hold(processes: Sequence[Growth], show: Show) -> None:
    """Show the figures of all of them; fails, after that, where one grows."""
    for each in processes:
        show(f"soak: {each}")
    faults = [fault for each in processes for fault in each.faults()]
    assert not faults, "; ".join(faults)


async def soak(
    work: Callable[[int, random.Random], Awaitable[None]], processes: Sequence[Growth]
) -> None:
    """Do the work with seed after seed, and read each process once a second when it is warm."""
    began, seen = time.monotonic(), 0.0
    for seed in itertools.count(1):
        await work(seed, random.Random(seed))
        age = time.monotonic() - began
        if age >= WARM_SECONDS and (age - seen >= 1.0 or age >= SECONDS):
            seen = age
            for each in processes:
                each.look(age)
        if age >= SECONDS:
            return


async def noise(host: str, port: int, chance: random.Random, count: int) -> None:
    """What is like HTTP, and what is not."""
    for _ in range(count):
        request, _ = http_request(chance)
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(request)
            writer.write_eof()
            async with asyncio.timeout(_READ_SECONDS):
                while await reader.read(1 << 16):
                    pass
        except ConnectionError:
            pass  # as it should at noise
        finally:
            writer.close()

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

from mediafleet_testbed.load.fuzzing import http_request

SECONDS: Final = float(os.environ.get("MEDIAFLEET_SOAK_SECONDS", "4"))
WARM_SECONDS: Final = min(SECONDS / 4, 300.0)
"""Until caches and pools have the size that they keep."""
LONG_SECONDS: Final = 1500.0
"""Below it a slope says nothing: memory comes in steps of megabytes."""
GROWTH_MB: Final = 30.0
SLOPE_MB_AN_HOUR: Final = 1.0
MOST_DESCRIPTORS: Final = 20
MOST_TASKS: Final = 20
"""More than when it was warm: what is under way at one moment is a few more or less."""
_READ_SECONDS: Final = 20.0
_PAGE_MB: Final = os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(slots=True)
class Growth:
    """Readings of one process since it was warm."""

    name: str
    pid: int
    tasks_file: Path | None = None
    """Where it tells how many asyncio tasks it has (tests/kit/counted.py); `None`: it does not."""
    samples: list[tuple[float, float, int]] = field(default_factory=list)
    """Seconds, resident megabytes, open descriptors."""
    tasks: list[int] = field(default_factory=list)
    """Asyncio tasks, each as it was asked for by the look before."""

    def look(self, at: float) -> None:
        """Take one reading."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        descriptors = len(list(Path(f"/proc/{self.pid}/fd").iterdir()))
        self.samples.append((at, pages * _PAGE_MB, descriptors))
        if self.tasks_file is not None:
            if self.tasks_file.exists():
                self.tasks.append(int(self.tasks_file.read_text()))
            os.kill(self.pid, signal.SIGUSR1)

    @property
    def megabytes(self) -> float:
        """From the first reading to the last."""
        return self.samples[-1][1] - self.samples[0][1]

    @property
    def descriptors(self) -> int:
        """The same."""
        return self.samples[-1][2] - self.samples[0][2]

    @property
    def slope(self) -> float:
        """Megabytes an hour, by least squares."""
        times, sizes = [each[0] for each in self.samples], [each[1] for each in self.samples]
        middle, mean = sum(times) / len(times), sum(sizes) / len(sizes)
        spread = sum((at - middle) ** 2 for at in times)
        both = sum((at - middle) * (mb - mean) for at, mb in zip(times, sizes, strict=True))
        return 3600 * both / spread if spread else 0.0

    def hold(self) -> str:
        """The figures; fails where it grows."""
        told = f"{self.name}: {self.megabytes:+.1f} MB, {self.slope:+.1f} MB/h"
        assert self.megabytes < GROWTH_MB, told
        assert self.descriptors <= MOST_DESCRIPTORS, self.samples[-1]
        more = self.tasks[-1] - self.tasks[0] if self.tasks else 0
        assert more <= MOST_TASKS, f"{self.name}: {self.tasks[0]} tasks, then {self.tasks[-1]}"
        if SECONDS >= LONG_SECONDS:
            assert self.slope <= SLOPE_MB_AN_HOUR, told
        counted = f", {more:+d} tasks" if self.tasks else ""
        return f"soak {SECONDS:g} s, {told}, {self.descriptors:+d} descriptors{counted}"


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

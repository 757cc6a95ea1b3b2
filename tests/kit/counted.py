"""Runs a module that tells what it has, whenever it is sent SIGUSR1.

`python -m tests.kit.counted FILE MODULE [ARGUMENT…]` is `python -m MODULE [ARGUMENT…]`, and writes
it to FILE. The product knows nothing of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import runpy
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self


@dataclass(frozen=True, slots=True)
class Counts:
    """What a process has at one moment."""

    tasks: int
    """Of asyncio."""
    blocks: int
    """Of Python's own allocator, of up to 512 bytes."""
    malloc_mb: float
    """All else that is allocated and not freed, by libraries in C as well; 0.0 where the C library
    does not tell."""

    @classmethod
    def read(cls, file: Path) -> Self:
        """As it was written."""
        return cls(**json.loads(file.read_text()))


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of glibc 2.33 and newer (mallinfo(3))."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


_MMAPPED, _IN_USE = "hblkhd", "uordblks"
_MALLINFO: Final[Callable[[], object] | None] = getattr(ctypes.CDLL(None), "mallinfo2", None)
if _MALLINFO is not None:
    setattr(_MALLINFO, "restype", _Mallinfo)  # noqa: B010 - a function of C has it


def counted(file: Path) -> tuple[str, str, str]:
    """The product's command as a module that is counted, for `Processes.python`."""
    return ("tests.kit.counted", str(file), "mediafleet.main")


def counts() -> Counts:
    """Of this process; RuntimeError where no loop runs yet."""
    told = _MALLINFO() if _MALLINFO is not None else _Mallinfo()
    size: int = getattr(told, _MMAPPED) + getattr(told, _IN_USE)
    return Counts(len(asyncio.all_tasks()), sys.getallocatedblocks(), size / 1e6)


def main() -> None:
    """Run it."""
    file, module, *arguments = sys.argv[1:]
    scratch = Path(f"{file}.new")

    def tell(*_: object) -> None:
        with contextlib.suppress(RuntimeError):
            scratch.write_text(json.dumps(asdict(counts())))
            scratch.replace(file)

    signal.signal(signal.SIGUSR1, tell)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

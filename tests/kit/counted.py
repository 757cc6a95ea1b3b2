"""Runs a module that tells how many asyncio tasks it has, whenever it is sent SIGUSR1.

`python -m tests.kit.counted FILE MODULE [ARGUMENT…]` is `python -m MODULE [ARGUMENT…]`, and writes
the number to FILE. The product knows nothing of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import runpy
import signal
import sys
from pathlib import Path


def counted(file: Path) -> tuple[str, str, str]:
    """The product's command as a module that is counted, for `Processes.python`."""
    return ("tests.kit.counted", str(file), "mediafleet.main")


def main() -> None:
    """Run it."""
    file, module, *arguments = sys.argv[1:]
    scratch = Path(f"{file}.new")

    def tell(*_: object) -> None:
        # Where no loop runs yet there is nothing to tell.
        with contextlib.suppress(RuntimeError):
            scratch.write_text(str(len(asyncio.all_tasks())))
            scratch.replace(file)

    signal.signal(signal.SIGUSR1, tell)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

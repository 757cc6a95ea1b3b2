"""Work in another network namespace from a thread of this process.

A network namespace belongs to a thread: one made for the purpose enters it, does its work and ends,
and the rest of the program stays where it is.
"""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mediafleet_testbed.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

CLONE_NEWNET = 0x40000000


def is_current(namespace: Path) -> bool:
    """Whether the calling thread is in that network namespace."""
    try:
        return Path("/proc/thread-self/ns/net").stat().st_ino == namespace.stat().st_ino
    except OSError:
        return False


def call_in(namespace: Path, function: Callable[[], Result]) -> Result:
    """`function()`, with each socket it opens inside that namespace; its exception is raised."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            _enter(namespace)
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - handed to the caller as it is
            errors.append(error)

    thread = threading.Thread(target=work, name=f"in-{namespace.name}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _enter(namespace: Path) -> None:
    with namespace.open() as handle:
        if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise NodeError(f"cannot enter the network namespace {namespace}: {reason}")

"""A node's network namespace seen from this process: work inside it, or outside of it.

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
from mediafleet_testbed.paths import Instance

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


def outside_prefix() -> list[str]:
    """What goes before a command that needs the machine's own network; empty when in it."""
    instance = Instance.named()
    if not is_current(instance.netns_path):
        return []
    unhide = 'umount /etc/resolv.conf 2>/dev/null; exec "$@"'
    enter = ["nsenter", f"--net={instance.outside_path}", "unshare", "--mount"]
    return [*enter, "--propagation", "slave", "sh", "-c", unhide, "sh"]


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

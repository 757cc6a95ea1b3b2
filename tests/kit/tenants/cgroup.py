"""A CPU cgroup below the node's: what a tenant's own pods could use, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mediafleet_testbed.node import cgroup_roots
from mediafleet_testbed.paths import Instance
from mediafleet_testbed.waiting import wait_for

_PERIOD_MICROSECONDS: Final = 100_000
_LIMITS: Final = {"cpu.max": "{quota} {period}", "cpu.cfs_quota_us": "{quota}"}
"""Of cgroup v2 and v1; the period is the default of both."""


@contextmanager
def limited(instance: Instance, name: str, cores: float) -> Iterator[Path]:
    """A group of so many cores; processes are put into its `cgroup.procs`. Empty when it ends."""
    quota = int(cores * _PERIOD_MICROSECONDS)
    group = _cpu_root() / instance.cgroup / name
    group.mkdir(exist_ok=True)
    for file, text in _LIMITS.items():
        if (group / file).exists():
            (group / file).write_text(text.format(quota=quota, period=_PERIOD_MICROSECONDS))
    try:
        yield group
    finally:
        wait_for("the group is empty", lambda: _removed(group))


def _cpu_root() -> Path:
    """The hierarchy that limits the CPU."""
    for root in cgroup_roots():
        if (root / "cgroup.controllers").exists() or (root / "cpu.cfs_quota_us").exists():
            return root
    raise OSError("no cgroup here limits the CPU")


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


def put(group: Path, process: asyncio.subprocess.Process) -> None:
    """Have a group hold a process, and those that it will start."""
    (group / "cgroup.procs").write_text(str(process.pid))

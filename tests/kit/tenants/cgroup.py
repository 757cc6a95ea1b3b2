"""CPU cgroups of the node: a tenant's own processes as a pod of theirs, the control plane apart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mediafleet_testbed.node import cgroup_roots, program_pid
from mediafleet_testbed.paths import Instance
from mediafleet_testbed.waiting import wait_for

_PERIOD_MICROSECONDS: Final = 100_000
_CORE_SHARES: Final = 1024
"""What kubelet gives for each core that is requested."""
_LEAST_SHARES: Final = 2
_SYSTEM_SHARES: Final = 512
"""Half of what the node's pods have, as on any node of two cores."""
_PODS: Final = "pods/kubepods"
CONTROL_PLANE: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


@contextmanager
def limited(instance: Instance, name: str, cores: float) -> Iterator[Path]:
    """A group of so many cores, requested and at most; processes go into its `cgroup.procs`.

    It stands where kubelet puts a pod of that size. Empty when it ends.
    """
    with _group(_node(instance) / _PODS / name, round(cores * _CORE_SHARES), cores) as group:
        yield group


@contextmanager
def control_plane_apart(instance: Instance, cores: float = 1.0) -> Iterator[None]:
    """The control plane as if it were elsewhere: it takes of the node's CPU what the others leave,
    at most so many cores. kubelet and containerd stay in their group, with a system's weight.
    """
    system = _node(instance) / "system"
    _weigh(system, _SYSTEM_SHARES)
    try:
        with _group(_node(instance) / "control", _LEAST_SHARES, cores) as group:
            pids = [pid for each in CONTROL_PLANE if (pid := program_pid(instance, each))]
            for pid in pids:
                _move(pid, group)
            try:
                yield
            finally:
                for pid in pids:
                    _move(pid, system)
    finally:
        _weigh(system, _CORE_SHARES)


@contextmanager
def _group(group: Path, shares: int, cores: float) -> Iterator[Path]:
    group.mkdir(exist_ok=True)
    _weigh(group, shares)
    quota = int(cores * _PERIOD_MICROSECONDS)
    for file, text in {
        "cpu.max": f"{quota} {_PERIOD_MICROSECONDS}",
        "cpu.cfs_quota_us": f"{quota}",
    }.items():
        if (group / file).exists():
            (group / file).write_text(text)
    try:
        yield group
    finally:
        wait_for("the group is empty", lambda: _removed(group))


def _weigh(group: Path, shares: int) -> None:
    """By cgroup v1, or v2 as kubelet converts it."""
    weight = 1 + (shares - 2) * 9999 // 262142
    for file, value in {"cpu.weight": weight, "cpu.shares": shares}.items():
        if (group / file).exists():
            (group / file).write_text(str(value))


def _node(instance: Instance) -> Path:
    """The node's group in the hierarchy that limits the CPU."""
    for root in cgroup_roots():
        if (root / "cgroup.controllers").exists() or (root / "cpu.cfs_quota_us").exists():
            return root / instance.cgroup
    raise OSError("no cgroup here limits the CPU")


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


def _move(pid: int, group: Path) -> None:
    (group / "cgroup.procs").write_text(str(pid))


def put(group: Path, process: asyncio.subprocess.Process) -> None:
    """Have a group hold a process, and those that it will start."""
    _move(process.pid, group)

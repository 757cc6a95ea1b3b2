"""What a node leaves on the machine, made and removed: network, mounts, cgroups, processes.

Everything here can be called again after a crash at any point: it looks at what is there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mediafleet_testbed.errors import CannotRunHereError, NodeError
from mediafleet_testbed.node.layout import DEAD_END, NODE_IP, NODE_NETWORK_LENGTH
from mediafleet_testbed.node.supervisor import cgroup_roots
from mediafleet_testbed.paths import Instance

if TYPE_CHECKING:
    from collections.abc import Callable

GONE_TIMEOUT_SECONDS = 20.0


def why_not() -> str | None:
    """Why this machine can never run a node, in one sentence; None when it can.

    Missing programs are no reason: those are installed or built.
    """
    if sys.platform != "linux":
        return "a Kubernetes node needs Linux"
    if os.geteuid() != 0:
        return "not root: a Kubernetes node makes network namespaces, mounts and cgroups"
    if not Path("/sys/fs/cgroup").is_dir() or not cgroup_roots():
        return "no cgroups are mounted at /sys/fs/cgroup"
    if not _kernel_has_overlay():
        return "the kernel has no overlay file system, which containers need"
    trial = ["unshare", "--net", "--mount", "--pid", "--fork", "true"]
    if shutil.which("unshare") and subprocess.run(trial, capture_output=True).returncode != 0:
        return "this root may not make namespaces (a container without the privileges?)"
    return None


def _kernel_has_overlay() -> bool:
    """Built in or loaded, or a module that can be."""
    known = Path("/proc/filesystems")
    if "overlay" not in known.read_text() and shutil.which("modprobe"):
        subprocess.run(["modprobe", "overlay"], capture_output=True, check=False)
    return "overlay" in known.read_text()


def require_possible() -> None:
    reason = why_not()
    if reason is not None:
        raise CannotRunHereError(f"the cluster tier cannot run here: {reason}")


def make_network(instance: Instance) -> None:
    """A network namespace with one address and a default route that ends in it.

    A bridge carries the address: some kernels have no `dummy` links, and kubelet refuses loopback.
    """
    _do("ip", "netns", "add", instance.netns)
    inside = ("nsenter", f"--net={instance.netns_path}")
    for line in (
        "ip link set lo up",
        "ip link add node0 type bridge",
        f"ip address add {NODE_IP}/{NODE_NETWORK_LENGTH} dev node0",
        "ip link set node0 up",
        f"ip route add default via {DEAD_END} dev node0",
    ):
        _do(*inside, *line.split())
    _do(*inside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")


def make_run_folder(instance: Instance) -> None:
    instance.run.mkdir(parents=True, exist_ok=True)
    _do("mount", "-t", "tmpfs", "-o", "mode=0755", "mediafleet-testbed", str(instance.run))
    for name in ("pids", "stopped", "volume-plugins", "pod-logs"):
        (instance.run / name).mkdir()
    if _is_overlay(instance.store):
        instance.containerd_root.mkdir()
    else:
        instance.containerd_root.symlink_to(instance.store)
    # A way back out for what runs inside; /proc/1/ns may be closed to us.
    instance.outside_path.touch()
    _do("mount", "--bind", "/proc/self/ns/net", str(instance.outside_path))


def _is_overlay(folder: Path) -> bool:
    """Whether a folder, made if need be, lies on an overlay, which cannot carry another one."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["stat", "--file-system", "--format=%T", str(folder)]
    return "overlay" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def is_up(instance: Instance) -> bool:
    """Whether the node runs and its `up` came to its end."""
    return instance.complete.exists() and find_supervisor(instance) is not None


def find_supervisor(instance: Instance) -> int | None:
    """The pid of the `unshare` that holds the node's PID namespace, found by its command line."""
    spec = str(instance.run / "spec.json")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = command_line(int(entry.name))
            if words[-1:] == [spec] and Path(words[0]).name == "unshare":
                return int(entry.name)
    return None


def command_line(pid: int) -> list[str]:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in raw.split(b"\0")[:-1]]


def remove_all(instance: Instance) -> bool:
    """End the node and remove all it left; True when there was something."""
    supervisor = find_supervisor(instance)
    traces = [instance.netns_path, instance.run, *_cgroups(instance)]
    there = supervisor is not None or any(trace.exists() for trace in traces)
    if supervisor is not None:
        _kill(supervisor)
    if instance.netns_path.exists():
        _do("ip", "netns", "delete", instance.netns)
    _unmount_under(instance.run)
    shutil.rmtree(instance.run, ignore_errors=True)
    for group in _cgroups(instance):
        _remove_cgroup(group)
    return there


def _kill(supervisor: int) -> None:
    """Kill the PID namespace by its first process, and wait until the kernel has ended the rest."""
    first = [int(p) for p in _children(supervisor)]
    for pid in (*first, supervisor):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in (*first, supervisor):
        _wait_until(partial(_dead, pid), f"process {pid} of the node does not end")


def _children(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def _dead(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    if status == "Z":
        # Ours when `up` and `down` are one program; otherwise its parent collects it.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return status == "Z"


def _unmount_under(folder: Path) -> None:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    ours = [p for p in points if p == str(folder) or p.startswith(f"{folder}/")]
    for point in sorted(ours, key=len, reverse=True):
        _do("umount", "--lazy", point)


def _cgroups(instance: Instance) -> list[Path]:
    return [g for g in (root / instance.cgroup for root in cgroup_roots()) if g.is_dir()]


def _remove_cgroup(top: Path) -> None:
    """Depth first; a group whose last process is still on its way out refuses for a moment."""
    groups = sorted((p for p in top.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts))
    for group in (*groups, top):
        _wait_until(partial(_rmdir, group), f"cgroup {group} still holds processes")


def _rmdir(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _wait_until(done: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + GONE_TIMEOUT_SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise NodeError(f"{otherwise} after {GONE_TIMEOUT_SECONDS:.0f} s; try down again")
        time.sleep(0.01)


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise NodeError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")


def program_pid(instance: Instance, program: str) -> int | None:
    """The pid, as seen from here, of a program whose pid inside its PID namespace is recorded."""
    try:
        inner = (instance.run / "pids" / program).read_text().strip()
    except OSError:
        return None
    supervisor = find_supervisor(instance)
    first = _children(supervisor) if supervisor is not None else []
    for pid in _children(int(first[0])) if first else []:
        status = Path(f"/proc/{pid}/status").read_text()
        if any(
            line.startswith("NSpid:") and line.split()[-1] == inner for line in status.splitlines()
        ):
            return int(pid)
    return None

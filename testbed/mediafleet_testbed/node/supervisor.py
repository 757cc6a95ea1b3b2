"""First process of a node's own PID and mount namespaces: starts its programs, keeps them running.

Run by `node` as `nsenter --net=N unshare --mount --pid --fork --kill-child supervisor.py SPEC`.
That is what makes clean-up certain: when this process dies the kernel kills everything in its PID
namespace, containers included, and drops every mount of its mount namespace.

Standard library only and started by path, so that it costs a tenth of a second. SPEC is JSON:
`cgroup` (name), `private` (folders that get an empty tmpfs of their own, seen by the node alone),
`pids` (folder that gets one file per program with its pid as seen here), `stopped` (folder; a file
named like a program keeps that program down), `programs` (name, command, log, after).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TICK_SECONDS = 0.05
RESTART_AFTER_SECONDS = 1.0
CGROUP_ROOT = Path("/sys/fs/cgroup")


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    enter_cgroup(spec["cgroup"])
    arrange_mounts(spec["private"])
    supervised = [Supervised(program, spec) for program in spec["programs"]]
    # As PID 1 we get no signal we have not asked for; SIGKILL from outside ends everything.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        reap(supervised)
        for program in supervised:
            program.step(time.monotonic())
        time.sleep(TICK_SECONDS)


def enter_cgroup(name: str) -> None:
    """Put ourselves, and so all we start, under one cgroup of each hierarchy."""
    for root in cgroup_roots():
        top = root / name
        top.mkdir(exist_ok=True)
        if (root / "cgroup.controllers").exists():
            enable_controllers(root)
            enable_controllers(top)
        for part in ("system", "pods"):
            (top / part).mkdir(exist_ok=True)
        if (top / "cpuset.cpus").exists() and not (root / "cgroup.controllers").exists():
            inherit_cpuset(root, top)
        (top / "system" / "cgroup.procs").write_text("0")


def cgroup_roots() -> list[Path]:
    """The root of each hierarchy: one on cgroup v2, one a controller on v1."""
    if (CGROUP_ROOT / "cgroup.controllers").exists():
        return [CGROUP_ROOT]
    return [
        p for p in CGROUP_ROOT.iterdir() if not p.is_symlink() and (p / "cgroup.procs").exists()
    ]


def enable_controllers(group: Path) -> None:
    """cgroup v2: pass every controller on to the children."""
    for controller in (group / "cgroup.controllers").read_text().split():
        # One that cannot be passed on here is not needed by anything we run.
        with contextlib.suppress(OSError):
            (group / "cgroup.subtree_control").write_text(f"+{controller}")


def inherit_cpuset(root: Path, top: Path) -> None:
    """cgroup v1: a new cpuset is empty, and refuses processes until it is given CPUs and memory."""
    for group in (top, top / "system", top / "pods"):
        for name in ("cpuset.cpus", "cpuset.mems"):
            (group / name).write_text((root / name).read_text())


def arrange_mounts(private: list[str]) -> None:
    """Our own /proc, shared propagation (kubelet needs it for volumes), and private folders."""
    subprocess.run(["mount", "--make-rshared", "/"], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
    for folder in private:
        Path(folder).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)


class Supervised:
    """One program: started when what it waits for accepts, and again when it has ended."""

    def __init__(self, program: dict[str, Any], spec: dict[str, Any]) -> None:
        self.name: str = program["name"]
        self.command: list[str] = program["command"]
        self.after: list[str] = list(program["after"])
        self.log = Path(program["log"])
        self.pid_file = Path(spec["pids"]) / self.name
        self.stopped = Path(spec["stopped"]) / self.name
        self.pid: int | None = None
        self.not_before = 0.0

    def step(self, now: float) -> None:
        if self.pid is None and now >= self.not_before and not self.stopped.exists():
            self.after = [address for address in self.after if not accepts(address)]
            if not self.after:
                self.start()

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.pid = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            ).pid
        self.pid_file.write_text(str(self.pid))

    def ended(self, status: int) -> None:
        self.pid = None
        self.not_before = time.monotonic() + RESTART_AFTER_SECONDS
        self.pid_file.unlink(missing_ok=True)
        with self.log.open("a") as output:
            code = os.waitstatus_to_exitcode(status)
            output.write(f"supervisor: {self.name} ended with {code}\n")


def reap(supervised: list[Supervised]) -> None:
    """Collect what has ended: our programs, and orphans such as a container's shim's children."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        for program in supervised:
            if program.pid == pid:
                program.ended(status)


def accepts(address: str) -> bool:
    kind, _, where = address.partition(":")
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    with socket.socket(family) as trial:
        trial.settimeout(0.2)
        try:
            if kind == "unix":
                trial.connect(where)
            else:
                host, _, port = where.rpartition(":")
                trial.connect((host, int(port)))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    main()

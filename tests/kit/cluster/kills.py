"""SIGKILL of our own containers on the node, as a crash or the kernel's OOM killer would."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.kit.cluster.scene import Scene
from tests.kit.watching import api

from mediafleet_testbed.node import cgroup_roots
from mediafleet_testbed.paths import Instance
from mediafleet_testbed.waiting import WaitedInVainError

_RUNNING_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Victim:
    """The processes of one running container."""

    pod: str
    pids: tuple[int, ...]

    def kill(self) -> None:
        """SIGKILL; kubelet will start the container again."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def find(scene: Scene, component: str) -> Victim:
    """The container of one of our own components, once it is up; its only pod's.

    Raises:
        WaitedInVainError: it did not come up.
    """
    return await _find(
        scene, component, lambda: [pod.name for pod in scene.pods.component(component)]
    )


async def of_pod(scene: Scene, name: str) -> Victim:
    """The container of a pod, once it is up.

    Raises:
        WaitedInVainError: it did not come up.
    """
    return await _find(scene, f"container of pod {name}", lambda: [name])


async def _find(scene: Scene, what: str, names: Callable[[], list[str]]) -> Victim:
    deadline = time.monotonic() + _RUNNING_SECONDS
    while True:
        for name in names():
            pids = await _pids(scene, name)
            if pids:
                return Victim(name, pids)
        if time.monotonic() > deadline:
            raise WaitedInVainError(f"no {what} is up after {_RUNNING_SECONDS:g} s")
        await asyncio.sleep(_LOOK_SECONDS)


async def _pids(scene: Scene, pod: str) -> tuple[int, ...]:
    """Processes of a pod's container, as they are called here; none when it is not up."""
    seen = await scene.api.get(f"{api.pods(scene.namespace)}/{pod}")
    for status in seen["status"].get("containerStatuses") or ():
        if "running" in status["state"]:
            container = status["containerID"].removeprefix("containerd://")
            return _in_cgroup(scene.product.node.instance, container)
    return ()


def _in_cgroup(instance: Instance, container: str) -> tuple[int, ...]:
    # Only below our own node's cgroup: nothing else can be hit, whatever the id.
    for root in cgroup_roots():
        for procs in _found(root / instance.cgroup / "pods", f"**/{container}/cgroup.procs"):
            return tuple(int(pid) for pid in _read(procs).split())
    return ()


def desk_of(scene: Scene, uid: str) -> Victim | None:
    """Our own process in a pod, found without the API server; `None` while there is none."""
    instance = scene.product.node.instance
    for root in cgroup_roots():
        found = _found(root / instance.cgroup / "pods", f"**/pod{uid}/*/cgroup.procs")
        for procs in found:
            pids = tuple(int(pid) for pid in _read(procs).split())
            # Beside it there is the container that only holds the pod's namespaces.
            if any("mediafleet" in _read(Path(f"/proc/{pid}/cmdline")) for pid in pids):
                return Victim(uid, pids)
    return None


def _found(folder: Path, pattern: str) -> list[Path]:
    """Files below a folder; none when one of its folders goes while it is searched."""
    try:
        return list(folder.glob(pattern))
    except FileNotFoundError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

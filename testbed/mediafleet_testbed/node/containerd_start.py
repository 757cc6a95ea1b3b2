"""Start containerd on a store that an earlier node has used: its images stay, its containers go.

Run by the supervisor as `containerd_start.py CONFIG JANITOR_CONFIG JANITOR_SOCKET STORE`; ends as
containerd itself. Killing a node leaves containers in the store's books, which a kubelet would
spend its first minutes on. A containerd without CRI strikes them off: CRI reads them at start.
A store that cannot be put in order is emptied: images are imported again in seconds.
Standard library only, started by path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

TIMEOUT_SECONDS = 20.0
OF_CONTAINERS = ("io.containerd.grpc.v1.cri", "io.containerd.runtime.v2.task", "tmpmounts")


def main() -> None:
    config, janitor_config, socket, store = sys.argv[1:]
    if (Path(store) / "io.containerd.metadata.v1.bolt").exists():
        try:
            strike_off_containers(janitor_config, socket)
            folders = [Path(store) / name for name in OF_CONTAINERS]
        except (OSError, subprocess.SubprocessError, TimeoutError) as error:
            print(f"the store {store} cannot be put in order ({error}); emptying it", flush=True)
            folders = list(Path(store).iterdir())
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    os.execvp("containerd", ["containerd", f"--config={config}", "--log-level=warn"])


def strike_off_containers(config: str, socket: str) -> None:
    janitor = subprocess.Popen(["containerd", f"--config={config}", "--log-level=warn"])
    try:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not Path(socket).exists():
            if janitor.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError("containerd does not start on it")
            time.sleep(0.02)
        containers = ctr(socket, "containers", "list", "--quiet").split()
        if containers:
            ctr(socket, "containers", "delete", *containers)
    finally:
        janitor.terminate()
        janitor.wait(TIMEOUT_SECONDS)


def ctr(socket: str, *arguments: str) -> str:
    command = ["ctr", "--address", socket, "--namespace", "k8s.io", *arguments]
    return subprocess.run(
        command, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_SECONDS, check=True
    ).stdout


if __name__ == "__main__":
    main()

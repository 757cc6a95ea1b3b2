"""The operator as a process beside the node, so that a test can start, read and kill it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.kit.node.account import operator_account

from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.errors import TestbedError
from mediafleet_testbed.node import Node
from mediafleet_testbed.paths import REPOSITORY

ROOT: Final = REPOSITORY
READY_SECONDS: Final = 60.0


@dataclass(slots=True)
class Operator:
    """One operator that serves one namespace."""

    node: Node
    namespace: str
    log: Path
    kubeconfig: Path
    """Of the account that it works by."""
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[str] | None = field(default=None)
    ready_line: str = ""

    def start(self, *, wait: bool = True) -> None:
        """Start it; with `wait`, until it says that it is ready."""
        command = [
            *(str(Path(sys.executable).parent / "mediafleet"), "operator"),
            *("--namespace", self.namespace, "--lease-namespace", self.namespace),
            *("--image", "mediafleet:dev", "--image-pull-policy", "Never"),
            *("--http", "127.0.0.1:0", "--io-update-timeout=0", *self.arguments),
        ]
        environment = {
            **os.environ,
            **self.node.environment(),
            "KUBECONFIG": str(self.kubeconfig),
        }
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env=environment, text=True
            )
        self.ready_line = ""
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds: float = READY_SECONDS) -> float:
        """Until its line is out; how many seconds that took."""
        assert self.process is not None
        assert self.process.stdout is not None
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            ready, _, _ = select.select([self.process.stdout], [], [], 0.2)
            if ready:
                self.ready_line = self.process.stdout.readline()
            if "operator ready" in self.ready_line:
                return time.monotonic() - began
            if self.process.poll() is not None:
                break
        raise TestbedError(f"the operator is not ready:\n{self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self._reap()

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self._reap()

    def _reap(self) -> int:
        assert self.process is not None
        assert self.process.stdout is not None
        status = self.process.wait(timeout=20)
        self.process.stdout.close()
        self.process = None
        return status


@contextmanager
def operating(node: Node, workspace: Workspace, log: Path, *arguments: str) -> Iterator[Operator]:
    """CRDs, and an operator for a namespace with the chart's rights there; it is ended after."""
    node.kubectl("apply", "-f", str(ROOT / "crds"), "--server-side", "--force-conflicts")
    for name in ("egressfleets", "orchestratorpools", "aiworkerpools"):
        node.kubectl("wait", "--for=condition=Established", f"crd/{name}.mediafleet.dev")
    with operator_account(workspace, log.parent) as kubeconfig:
        operator = Operator(node, workspace.name, log, kubeconfig, arguments)
        try:
            operator.start()
            yield operator
        finally:
            if operator.process is not None:
                operator.stop()

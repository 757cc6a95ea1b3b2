"""Real KEDA beside a node: its operator and its metrics adapter, as two processes.

    with Keda.up(node, logs) as keda:
        node.apply(scaled_object)
        keda.stop(OPERATOR)

They run inside the node's network as cluster administrators, so that the adapter's Service has no
selector but the node's own address. CRDs are read from KEDA's module at run time.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from mediafleet_testbed.errors import NodeError, ToolError, tail
from mediafleet_testbed.node import NODE_IP, Authority, Node
from mediafleet_testbed.paths import TOOLCHAIN
from mediafleet_testbed.tools.recipes import KEDA_MODULE, KEDA_TOOLS, TOOLS
from mediafleet_testbed.tools.toolchain import ensure, go
from mediafleet_testbed.waiting import WaitedInVainError, wait_for

NAMESPACE: Final = "keda"
OPERATOR, ADAPTER = KEDA_TOOLS
READY_SECONDS: Final = 120.0
_SERVICE: Final = "keda-metrics-apiserver"
_API: Final = "v1beta1.external.metrics.k8s.io"
_ADAPTER_PORT: Final = 6444
_METRICS_PORT: Final = 19666


class Keda:
    """The two processes; either may be stopped and started again."""

    def __init__(self, node: Node, logs: Path, tools: dict[str, Path]) -> None:
        self._node = node
        self._logs = logs
        self._tools = tools
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @classmethod
    @contextmanager
    def up(cls, node: Node, folder: Path) -> Iterator[Keda]:
        """KEDA at work, until left; certificates and logs lie in `folder`.

        Raises:
            ToolError: it could not be built.
            NodeError: it did not come up.
        """
        self = cls(node, folder, ensure(*KEDA_TOOLS))
        self._write_certificates()
        crds = _crds()
        node.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(crds))
        node.kubectl("wait", "--for=condition=Established", "-f", str(crds))
        node.apply(*self._objects())
        try:
            for program in KEDA_TOOLS:
                self.start(program)
            self.wait_ready()
            yield self
        finally:
            for program in KEDA_TOOLS:
                self.stop(program)
            # An API that nobody serves would hold up whatever lists all APIs.
            node.kubectl("delete", "apiservice", _API, "--ignore-not-found")

    def wait_ready(self) -> None:
        """Until the HPA controller can read metrics.

        Raises:
            NodeError: one of the two ended, or it takes too long.
        """
        try:
            wait_for("KEDA serves metrics", self._serves, timeout_seconds=READY_SECONDS)
        except WaitedInVainError as error:
            ends = "\n".join(f"{name}:\n{tail(self.log(name))}" for name in KEDA_TOOLS)
            raise NodeError(f"{error}\n{ends}") from None

    def start(self, program: str) -> None:
        """Start one of the two; does not wait for it."""
        # Whatever becomes of us, it ends with us.
        command = ["setpriv", "--pdeathsig", "KILL", str(self._tools[program])]
        with self.log(program).open("ab") as log:
            self._processes[program] = subprocess.Popen(
                self._node.inside_command(*command, *self._arguments(program)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._node.environment(), **_ENVIRONMENT},
            )

    def stop(self, program: str) -> None:
        """SIGKILL one of the two, and keep it down."""
        process = self._processes.pop(program, None)
        if process is not None:
            process.kill()
            process.wait()

    def log(self, program: str) -> Path:
        """The log of one of the two."""
        return self._logs / f"{program}.log"

    def _serves(self) -> bool:
        ended = [name for name, process in self._processes.items() if process.poll() is not None]
        if ended:
            raise NodeError(f"{ended[0]} ended:\n{tail(self.log(ended[0]), 30)}")
        found = self._node.get("apiservice", _API)["status"].get("conditions", [])
        return any(c["type"] == "Available" and c["status"] == "True" for c in found)

    def _write_certificates(self) -> None:
        authority = Authority("keda")
        hosts = ("localhost", f"{_SERVICE}.{NAMESPACE}.svc")
        pair = authority.issue("keda", hosts=hosts)
        pair.write(self._logs, "tls")
        self._ca = authority.pair.certificate_pem
        (self._logs / "ca.crt").write_bytes(self._ca)

    def _arguments(self, program: str) -> list[str]:
        folder, kubeconfig = self._logs, self._node.kubeconfig
        if program == OPERATOR:
            return [
                f"--cert-dir={folder}",
                "--enable-cert-rotation=false",
                "--enable-webhook-patching=false",
                "--enable-apiservice-patching=false",
                "--leader-elect=false",
                "--metrics-bind-address=127.0.0.1:19080",
                "--health-probe-bind-address=127.0.0.1:19081",
                f"--metrics-service-bind-address=127.0.0.1:{_METRICS_PORT}",
                "--kube-api-qps=100",
                "--kube-api-burst=200",
            ]
        return [
            f"--cert-dir={folder}",
            f"--tls-cert-file={folder}/tls.crt",
            f"--tls-private-key-file={folder}/tls.key",
            f"--bind-address={NODE_IP}",
            f"--secure-port={_ADAPTER_PORT}",
            "--port=19082",
            f"--metrics-service-address=localhost:{_METRICS_PORT}",
            f"--lister-kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
        ]

    def _objects(self) -> list[dict[str, Any]]:
        named = {"name": _SERVICE, "namespace": NAMESPACE}
        ports = [{"name": "https", "port": 443, "targetPort": _ADAPTER_PORT}]
        slice_labels = {"kubernetes.io/service-name": _SERVICE}
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            {"apiVersion": "v1", "kind": "Service", "metadata": named, "spec": {"ports": ports}},
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**named, "labels": slice_labels},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [NODE_IP]}],
                "ports": [{"name": "https", "port": _ADAPTER_PORT}],
            },
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": _API},
                "spec": {
                    "service": named,
                    "group": "external.metrics.k8s.io",
                    "version": "v1beta1",
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "caBundle": base64.b64encode(self._ca).decode(),
                },
            },
        ]


_ENVIRONMENT: Final = {
    "POD_NAMESPACE": NAMESPACE,
    # As pods they read it from their service account.
    "KEDA_CLUSTER_OBJECT_NAMESPACE": NAMESPACE,
    "WATCH_NAMESPACE": "",
}


def _crds() -> Path:
    """Where KEDA's module keeps its CRDs."""
    command = [str(go()), "mod", "download", "-json", KEDA_MODULE]
    done = subprocess.run(
        command, cwd=TOOLCHAIN / TOOLS[OPERATOR].folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ToolError(f"KEDA's module is not to be had: {done.stderr.strip()[-500:]}")
    return Path(json.loads(done.stdout)["Dir"]) / "config/crd/bases"

"""Wait until a node can take pods, and say which program keeps it from that.

Asks the API server over one kept connection, from a thread inside the node's network namespace:
a `kubectl` per look would take the CPU the node needs to start.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from typing import TYPE_CHECKING, Any

from mediafleet_testbed.errors import NodeError, tail
from mediafleet_testbed.namespaces import call_in
from mediafleet_testbed.node.layout import API_PORT, NODE_IP, NODE_NAME
from mediafleet_testbed.node.supervisor import accepts

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediafleet_testbed.paths import Instance

POLL_SECONDS = 0.05


def wait_ready(instance: Instance, timeout_seconds: float, tick: Callable[[], None]) -> None:
    """Return when pods can be scheduled; NodeError with the log of the program that is late."""
    call_in(instance.netns_path, lambda: _wait(instance, timeout_seconds, tick))


def _wait(instance: Instance, timeout_seconds: float, tick: Callable[[], None]) -> None:
    api = Api(instance)
    deadline = time.monotonic() + timeout_seconds
    stages: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("etcd", lambda: accepts("tcp:127.0.0.1:2379")),
        ("containerd", lambda: accepts(f"unix:{instance.containerd_socket}")),
        ("kube-apiserver", lambda: api.get("/readyz") is not None),
        ("kubelet", lambda: _is_ready(api.get(f"/api/v1/nodes/{NODE_NAME}"))),
        (
            "kube-controller-manager",
            lambda: api.get("/api/v1/namespaces/default/serviceaccounts/default") is not None,
        ),
        ("kube-proxy", lambda: accepts("tcp:127.0.0.1:10256")),
        ("coredns", lambda: accepts(f"tcp:{NODE_IP}:53")),
    )
    for program, reached in stages:
        while not reached():
            if time.monotonic() > deadline:
                log = instance.log(program)
                raise NodeError(
                    f"{program} is not ready after {timeout_seconds:.0f} s; "
                    f"its log is {log}, its end:\n{tail(log)}"
                )
            tick()
            time.sleep(POLL_SECONDS)


def _is_ready(node: Any) -> bool:
    if node is None:
        return False
    conditions = node["status"].get("conditions", [])
    untainted = not node["spec"].get("taints")
    return untainted and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


class Api:
    """GET from the node's API server as its administrator."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._connection: http.client.HTTPSConnection | None = None

    def get(self, path: str) -> Any:
        """The parsed answer (text where it is not JSON); None for any refusal or none at all."""
        try:
            connection = self._connection or self._connect()
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return None
        if answer.status != http.client.OK:
            return None
        return json.loads(body) if body.startswith(b"{") else body.decode()

    def _connect(self) -> http.client.HTTPSConnection:
        pki = self._instance.pki
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._connection = http.client.HTTPSConnection(
            NODE_IP, API_PORT, timeout=5, context=context
        )
        return self._connection

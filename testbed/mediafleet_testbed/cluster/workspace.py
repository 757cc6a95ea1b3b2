"""A Kubernetes namespace of one's own on a node, for a test or the demo."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mediafleet_testbed.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from mediafleet_testbed.node import Node

Level = Literal["restricted", "baseline", "privileged"]

READY_TIMEOUT_SECONDS = 90
"""After an outage of the API server its clients wait up to a minute before they ask again
(client-go tools/cache, reflector back-off of 30 s, jitter up to as much again)."""
_LINES_TOLD = 25


@dataclass(frozen=True, slots=True)
class Workspace:
    """A namespace; as a context manager it is deleted at the end, without waiting for that."""

    node: Node
    name: str

    @classmethod
    def create(cls, node: Node, *, prefix: str = "test", level: Level = "restricted") -> Workspace:
        """A fresh one that enforces that Pod Security level, ready to take pods."""
        name = f"{prefix}-{secrets.token_hex(3)}"
        labels = {
            "pod-security.kubernetes.io/enforce": level,
            "mediafleet.dev/testbed": "workspace",
        }
        metadata = {"name": name, "labels": labels}
        node.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self = cls(node, name)
        # Pods are refused until the controllers have made it.
        try:
            self.kubectl(
                *("wait", "--for=create", "serviceaccount/default"),
                f"--timeout={READY_TIMEOUT_SECONDS}s",
                timeout_seconds=READY_TIMEOUT_SECONDS + 10,
            )
        except CommandError as error:
            for program in ("kube-controller-manager", "kube-apiserver"):
                lines = node.log(program).read_text(errors="replace").splitlines()
                error.add_note("\n".join([f"--- {program}", *lines[-_LINES_TOLD:]]))
            raise
        return self

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.node.kubectl("delete", "namespace", self.name, "--wait=false")

    def kubectl(
        self, *arguments: str, stdin: str | None = None, timeout_seconds: float = 60
    ) -> str:
        """kubectl in this namespace; its standard output."""
        return self.node.kubectl(
            "-n", self.name, *arguments, stdin=stdin, timeout_seconds=timeout_seconds
        )

    def apply(self, *objects: Mapping[str, Any]) -> None:
        self.node.apply(*objects, namespace=self.name)

    def get(self, *arguments: str) -> Any:
        """`kubectl get ... -o json`, parsed."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def wait(self, condition: str, what: str, *, timeout_seconds: int = 60) -> None:
        """`kubectl wait --for=CONDITION WHAT`, e.g. `("condition=Ready", "pod/web")`."""
        self.kubectl(
            *("wait", f"--for={condition}", what, f"--timeout={timeout_seconds}s"),
            timeout_seconds=timeout_seconds + 10,
        )

    def pods(self, selector: str = "") -> list[dict[str, Any]]:
        """The pods as they are now, those on their way out included."""
        chosen = ("-l", selector) if selector else ()
        items: list[dict[str, Any]] = self.get("pods", *chosen)["items"]
        return items

"""The product on the node as a user installs it: CRDs, chart, Redis, in a restricted namespace."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from mediafleet_common.api.names import GROUP, PLURALS
from mediafleet_common.kube.account_tokens import AUDIENCE
from mediafleet_testbed.cluster.pods import container, pod, service
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.errors import TestbedError
from mediafleet_testbed.node import Node
from mediafleet_testbed.paths import REPOSITORY
from mediafleet_testbed.tools import toolchain
from mediafleet_testbed.waiting import wait_for

ROOT: Final = REPOSITORY
RELEASE: Final = "mediafleet"
REDIS_PORT: Final = 6379
INSTALL_SECONDS: Final = 120
Values = Mapping[str, Any]

ONE_NAMESPACE: Final[Values] = {
    "rbac": {"scope": "namespace"},
    "logs": {"json": False},
    # The Lease's second candidate would only wait, and there are two cores for all. A second desk
    # would hide what the death of the first one does.
    "operator": {"replicas": 1},
    "egress": {"replicas": 1},
}


@dataclass(frozen=True, slots=True)
class Product:
    """The product in a namespace of its own, which it alone serves."""

    node: Node
    workspace: Workspace
    redis_host: str

    @property
    def namespace(self) -> str:
        """Where everything is."""
        return self.workspace.name

    @property
    def redis(self) -> str:
        """HOST:PORT."""
        return f"{self.redis_host}:{REDIS_PORT}"

    def token(self, account: str = f"{RELEASE}-operator", audience: str = AUDIENCE) -> str:
        """A short-lived token of an account."""
        return self.workspace.kubectl(
            "create", "token", account, "--audience", audience, "--duration", "10m"
        ).strip()


@contextmanager
def deployed(
    node: Node, workspace: Workspace, values: Values | None = None, tree: Path = ROOT
) -> Iterator[Product]:
    """Install, wait until it is ready, and take away again what is not in the namespace.

    `tree` is where chart and CRDs come from.
    """
    apply_crds(node, tree)
    redis = redis_in(workspace)
    try:
        _release(workspace, "install", tree, values or {})
        yield Product(node, workspace, redis)
    finally:
        _helm(workspace, "uninstall", RELEASE, "--ignore-not-found")


def apply_crds(node: Node, tree: Path = ROOT) -> None:
    """Our resources, as `tree` defines them."""
    node.kubectl(
        "apply", "-f", str(tree / "crds"), "--server-side", "--force-conflicts", timeout_seconds=120
    )
    for plural in PLURALS.values():
        node.kubectl("wait", "--for=condition=Established", f"crd/{plural}.{GROUP}")


def change(product: Product, tree: Path, values: Values | None = None) -> None:
    """Upgrade the release to the chart of `tree` and to these values alone, and wait for it."""
    _release(product.workspace, "upgrade", tree, values or {})


def uninstall(product: Product) -> None:
    """Take the chart away."""
    _helm(product.workspace, "uninstall", RELEASE)


def _release(workspace: Workspace, verb: str, tree: Path, values: Values) -> None:
    chart, images = tree / "charts/mediafleet", tree / "testbed/values-local-images.yaml"
    _helm(
        workspace,
        *(verb, RELEASE, str(chart), "-f", str(images), "-f", "-"),
        *("--wait", f"--timeout={INSTALL_SECONDS}s"),
        stdin=yaml.safe_dump(_merged(ONE_NAMESPACE, values)),
    )


def upgrade(product: Product) -> None:
    """Upgrade the release to the same chart and values."""
    chart = str(ROOT / "charts/mediafleet")
    _helm(product.workspace, "upgrade", RELEASE, chart, "--reuse-values")


# All wait for Redis, so it comes before the others when the CPU is short.
REDIS_CPU: Final[Values] = {"requests": {"cpu": "200m"}}


def redis_in(workspace: Workspace, cpu: Values = REDIS_CPU) -> str:
    """Start a Redis in a namespace; its address."""
    probe = {"tcpSocket": {"port": REDIS_PORT}, "periodSeconds": 1}
    workspace.apply(
        pod("redis", container("redis", "redis:dev", readinessProbe=probe, resources=cpu)),
        service("redis", REDIS_PORT, REDIS_PORT),
    )
    workspace.wait("condition=Ready", "pod/redis")
    address = str(workspace.get("service", "redis")["spec"]["clusterIP"])
    # A pod is Ready before its Service leads to it.
    wait_for("the Service of Redis answers", lambda: _answers(address))
    return address


def _answers(address: str) -> bool:
    try:
        socket.create_connection((address, REDIS_PORT), timeout=1).close()
    except OSError:
        return False
    return True


def _helm(workspace: Workspace, *arguments: str, stdin: str | None = None) -> None:
    program = str(toolchain.ensure("helm")["helm"])
    done = workspace.node.run(
        program,
        *("-n", workspace.name, *arguments),
        stdin=stdin,
        check=False,
        timeout_seconds=INSTALL_SECONDS + 30,
    )
    if done.returncode != 0:
        logs = "\n".join(_complaints(workspace))
        raise TestbedError(f"helm {arguments[0]}: {done.stderr.strip()}\n{logs}")


def _complaints(workspace: Workspace) -> Iterator[str]:
    """The last words of what did not become ready."""
    for each in workspace.pods(f"app.kubernetes.io/instance={RELEASE}"):
        name = each["metadata"]["name"]
        yield f"--- {name}: {each['status'].get('containerStatuses')}"
        yield workspace.kubectl("logs", name, "--tail=30", "--ignore-errors")


def _merged(base: Values, more: Values) -> dict[str, Any]:
    both = dict(base)
    for key, value in more.items():
        inner = both.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            both[key] = _merged(inner, value)
        else:
            both[key] = value
    return both

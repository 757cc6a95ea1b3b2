"""The operator's ServiceAccount as the chart makes it, for an operator beside the node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import yaml

from mediafleet_operator.rounds.serve import LEASE_NAME
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.errors import CommandError
from mediafleet_testbed.paths import REPOSITORY
from mediafleet_testbed.tools import toolchain
from mediafleet_testbed.waiting import wait_for

_RELEASE: Final = "mediafleet"
_ACCOUNT: Final = f"{_RELEASE}-operator"
_HOURS: Final = "6h"
"""Longer than any test or bench: nobody renews the token."""


@contextmanager
def operator_account(workspace: Workspace, folder: Path) -> Iterator[Path]:
    """Make the account with the chart's rights in a namespace; a kubeconfig with its token."""
    helm = str(toolchain.ensure("helm")["helm"])
    rendered = workspace.node.run(
        *(helm, "template", _RELEASE, str(REPOSITORY / "charts/mediafleet")),
        *("-n", workspace.name, "-s", "templates/rbac.yaml"),
        *("--set", "rbac.scope=namespace", "--set", "egress.enabled=false"),
    ).stdout
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": _ACCOUNT}}
    roles = [each for each in yaml.safe_load_all(rendered) if each]
    workspace.apply(account, *roles)
    try:
        path = kubeconfig_of(workspace, _ACCOUNT, folder / "operator.kubeconfig")
        wait_for("the API server knows the rights", lambda: _may_have_the_lease(workspace, path))
        yield path
    finally:
        for each in roles:
            # What is not in the namespace does not go with it.
            if each["kind"].startswith("Cluster"):
                workspace.kubectl("delete", each["kind"], each["metadata"]["name"])


def _may_have_the_lease(workspace: Workspace, kubeconfig: Path) -> bool:
    """Roles that were just made count a moment later."""
    lease = f"leases.coordination.k8s.io/{LEASE_NAME}"
    try:
        workspace.kubectl("--kubeconfig", str(kubeconfig), "auth", "can-i", "update", lease)
    except CommandError:
        return False
    return True


def kubeconfig_of(workspace: Workspace, account: str, path: Path) -> Path:
    """Write a kubeconfig with a token of an account of the namespace."""
    token = workspace.kubectl("create", "token", account, "--duration", _HOURS).strip()
    config = yaml.safe_load(workspace.node.kubeconfig.read_text(encoding="utf-8"))
    config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path

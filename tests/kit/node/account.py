"""The operator's ServiceAccount as the chart makes it, for an operator beside the node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import yaml

from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.paths import REPOSITORY
from mediafleet_testbed.tools import toolchain

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
        token = workspace.kubectl("create", "token", _ACCOUNT, "--duration", _HOURS).strip()
        config = yaml.safe_load(workspace.node.kubeconfig.read_text(encoding="utf-8"))
        config["users"] = [
            {"name": each["name"], "user": {"token": token}} for each in config["users"]
        ]
        path = folder / "operator.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        yield path
    finally:
        for each in roles:
            # What is not in the namespace does not go with it.
            if each["kind"].startswith("Cluster"):
                workspace.kubectl("delete", each["kind"], each["metadata"]["name"])

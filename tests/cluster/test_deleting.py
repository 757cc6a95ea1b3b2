"""Whatever is deleted, in whatever order: nothing hangs, and what stays is what the runbook says.

The operator is gone first in most orders, since it goes with the chart: nothing waits for it.
MEDIAFLEET_DELETIONS=0 tries all orders.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterator
from typing import Final

import pytest
from tests.kit.cluster.product import Product, apply_crds, deployed, uninstall
from tests.kit.fleets import manifests

from mediafleet_common.api.names import GROUP, PLURALS, Kind
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.paths import REPOSITORY
from mediafleet_testbed.waiting import WaitedInVainError, wait_for

GONE_SECONDS: Final = 60
DEFINITIONS_GONE_SECONDS: Final = 200
"""The API server looks every 5 s whether the resources of a definition are gone, and begins anew
after a minute (apiextensions-apiserver pkg/controller/finalizer/crd_finalizer.go)."""
COLLECTED_SECONDS: Final = 60
"""The collector of what has no owner any more learns of new kinds every 30 s, and what it could not
place it tries again after pauses that double (kubernetes pkg/controller/garbagecollector). So what
is left after a minute goes by hand, as the runbook says."""
KINDS: Final = (
    "pods,services,deployments,poddisruptionbudgets,serviceaccounts,roles,rolebindings,configmaps,"
    "secrets,persistentvolumeclaims,leases,horizontalpodautoscalers"
)
OF_OTHERS: Final = {
    "serviceaccount/default",
    "configmap/kube-root-ca.crt",
    "pod/redis",
    "service/redis",
}
STAYS: Final = {"lease.coordination.k8s.io/mediafleet-operator"}
"""As the runbook says under "Remove it all"."""
PARTS: Final = ("chart", "resources", "crds")
# Definitions are the whole cluster's.
pytestmark = [pytest.mark.alone, pytest.mark.timeout(700)]


def orders() -> list[tuple[str, ...]]:
    count = int(os.environ.get("MEDIAFLEET_DELETIONS", "1")) or None
    return list(itertools.permutations(PARTS))[:count]


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    try:
        with deployed(node, workspace) as product:
            yield product
    finally:
        apply_crds(node)


def delete(product: Product, part: str) -> None:
    if part == "chart":
        uninstall(product)
    elif part == "crds":
        names = [f"crd/{plural}.{GROUP}" for plural in PLURALS.values()]
        product.node.kubectl(
            *("delete", *names, f"--timeout={DEFINITIONS_GONE_SECONDS}s"),
            timeout_seconds=DEFINITIONS_GONE_SECONDS + 10,
        )
    else:
        product.workspace.kubectl(
            *("delete", "efleet/rec", "--ignore-not-found", f"--timeout={GONE_SECONDS}s"),
            timeout_seconds=GONE_SECONDS + 10,
        )


def there(product: Product) -> set[str]:
    said = product.workspace.kubectl("get", KINDS, "-o", "name")
    return {name for name in said.split() if name not in OF_OTHERS}


def by_hand() -> list[str]:
    """What the runbook tells to do when the collector pauses for long."""
    page = (REPOSITORY / "docs/runbook.md").read_text(encoding="utf-8")
    found = re.search(r"kubectl (delete deployments,pods.*?) \\\s+(-l \S+) -n NAMESPACE", page)
    assert found is not None
    return f"{found[1]} {found[2]}".split()


@pytest.mark.parametrize("order", orders(), ids="-".join)
def test_nothing_hangs_and_what_stays_is_what_the_runbook_says(
    product: Product, order: tuple[str, ...]
) -> None:
    product.workspace.apply(
        manifests.egress_fleet("rec", product.redis, 1), manifests.orchestrator_pool("pool", 1)
    )
    for name in ("efleet/rec", "opool/pool"):
        product.workspace.wait("condition=Ready", name, timeout_seconds=90)
    product.workspace.wait("condition=Available", "deployment/pool-advertiser", timeout_seconds=90)
    before = there(product)
    assert {"pod/rec-0", "pod/pool-0", "deployment.apps/pool-advertiser"} <= before
    for part in order:
        began = time.monotonic()
        if part == "resources" and "crds" in order[: order.index("resources")]:
            continue  # they went with their definition
        delete(product, part)
        print(f"{part}: {time.monotonic() - began:.1f} s")
    # The pool was left to its definition, or to nobody: what it owns is collected.
    began, how = time.monotonic(), "gone"
    try:
        wait_for("", lambda: there(product) <= STAYS, timeout_seconds=COLLECTED_SECONDS)
    except WaitedInVainError:
        how = "deleted by hand"
        product.workspace.kubectl(*by_hand(), timeout_seconds=GONE_SECONDS)
    assert there(product) == STAYS
    print(f"what is owned was {how} after {time.monotonic() - began:.1f} s")
    assert Kind.EGRESS_FLEET not in product.node.kubectl("api-resources", f"--api-group={GROUP}")

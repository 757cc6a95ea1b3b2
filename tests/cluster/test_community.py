"""A CommunityMetrics on the node: nothing before it, a reporter with it, and nothing after it.

Where streams come from is told by the door of a node."""

from __future__ import annotations

import asyncio
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, Final

import pytest
from tests.kit.cluster import origins
from tests.kit.cluster.product import REDIS_PORT, Product, deployed
from tests.kit.fleets.manifests import orchestrator_pool

from mediafleet_common.api.names import API_VERSION, Port
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.waiting import wait_for

pytestmark = pytest.mark.timeout(600)
SHARED: Final = "cmetrics/share"
REPORTER: Final = "app.kubernetes.io/name=mediafleet-reporter"
SECONDS: Final = 150.0
PAGES: Final = ("/summary", "/metrics/community")
PUBLIC: Final = "https://:8935"
INSIDE: Final = "http://:8080"


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    with deployed(node, workspace, {"egress": {"enabled": False}}) as running:
        yield running


def sharing(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "CommunityMetrics",
        "metadata": {"name": "share"},
        "spec": {"pool": "orch", "region": "eu-west", **spec},
    }


def says(workspace: Workspace, status: str, reason: str) -> bool:
    conditions = workspace.get(SHARED).get("status", {}).get("conditions", [])
    return [(each["status"], each["reason"]) for each in conditions] == [(status, reason)]


def read(workspace: Workspace, name: str, port: str, path: str) -> tuple[int, bytes]:
    """What a Service of the namespace answers, by its address."""
    address = workspace.get("service", name)["spec"]["clusterIP"]
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    url = f"{port.replace('//', f'//{address}')}{path}"
    try:
        with urllib.request.urlopen(url, timeout=10, context=anybody) as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except OSError:
        return 0, b""


def shown(workspace: Workspace) -> tuple[int, ...]:
    """How both pages are answered on the port that gateways call."""
    return tuple(read(workspace, "orch", PUBLIC, path)[0] for path in PAGES)


def is_relayed(workspace: Workspace) -> bool:
    """Whether they are the reporter's own, byte for byte."""
    found = [read(workspace, "orch", PUBLIC, path) for path in PAGES]
    return found == [read(workspace, "share-reporter", INSIDE, path) for path in PAGES] and all(
        status == 200 for status, _ in found
    )


def pool(redis: dict[str, str]) -> dict[str, Any]:
    """One node behind HAProxy, and an advertiser that shows what is shared."""
    made = orchestrator_pool(
        "orch",
        1,
        image="stock-http:dev",
        args=[],
        advertise={"replicas": 1},
        drainProxy={"image": "haproxy:dev"},
        load="requests",
        origins={"redis": redis},
        communityMetrics="share",
    )
    [worker] = made["spec"]["template"]["spec"]["containers"]
    worker["command"] = ["stock-http", "-serve", f"127.0.0.1:{Port.BEHIND_PROXY}", "--"]
    return made


def test_a_reporter_is_there_while_the_resource_is_and_its_status_says_what_is_shared(
    product: Product,
) -> None:
    workspace = product.workspace
    redis = {"address": f"redis.{product.namespace}.svc:{REDIS_PORT}"}
    workspace.apply(pool(redis), origins.rewriting())
    assert workspace.pods(REPORTER) == []
    wait_for("no summary", lambda: shown(workspace) == (404, 404), timeout_seconds=SECONDS)
    shares = {"gatewaysByOrigin": True, "streamsByOrigin": True}
    workspace.apply(sharing(share=shares, originsRedis=redis))
    wait_for("what is shared", lambda: says(workspace, "True", "Shared"), timeout_seconds=SECONDS)
    assert workspace.get(SHARED)["status"]["shares"] == ["ownStreams", *shares]
    (pod,) = workspace.pods(REPORTER)
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    wait_for("the same on both", lambda: is_relayed(workspace), timeout_seconds=SECONDS)
    workspace.wait("condition=Ready", "opool/orch", timeout_seconds=int(SECONDS))
    (node,) = workspace.pods(f"{origins.LABEL}=orch")
    asyncio.run(origins.published(product, node))
    log = workspace.kubectl("logs", "deploy/share-reporter", "-c", "reporter")
    status = str(workspace.get(SHARED))
    assert not any(address in log + status for address in origins.GATEWAYS)
    columns = workspace.kubectl("get", "cmetrics").splitlines()[0].split()
    assert columns == ["NAME", "POOL", "REGION", "LASTHOUR", "HOURS", "LEFT", "OK", "AGE"]

    nobody = "http://127.0.0.1:9"
    workspace.apply(sharing(leave={"target": "http://127.0.0.1:8080", "collectors": [nobody]}))
    wait_for("leaving", lambda: says(workspace, "True", "Left"), timeout_seconds=SECONDS)
    wait_for(
        "an answer",
        lambda: bool(workspace.get(SHARED)["status"].get("deletions", [{}])[0].get("answer")),
        timeout_seconds=SECONDS,
    )
    (deletion,) = workspace.get(SHARED)["status"]["deletions"]
    assert (deletion["collector"], deletion["confirmed"]) == (nobody, False)

    wait_for("no summary", lambda: shown(workspace) == (410, 410), timeout_seconds=SECONDS)

    workspace.kubectl("delete", SHARED)
    wait_for("nothing of it", lambda: workspace.pods(REPORTER) == [], timeout_seconds=SECONDS)
    wait_for("no summary", lambda: shown(workspace) == (404, 404), timeout_seconds=SECONDS)

"""What every other test of this tier takes for granted about the node."""

from __future__ import annotations

import http.client
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from mediafleet_testbed.cluster.pods import container, pod, service
from mediafleet_testbed.errors import CommandError
from mediafleet_testbed.namespaces import call_in
from mediafleet_testbed.node import NODE_IP
from mediafleet_testbed.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediafleet_testbed.cluster.workspace import Level, Workspace
    from mediafleet_testbed.node import Node

PORT = 8000
OURS = "mediafleet-testbed-marker"


def web(**more: Any) -> dict[str, Any]:
    """A container that answers every GET on PORT with its arguments, from the product's image."""
    program = (
        "import http.server as h\n"
        "class H(h.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers()\n"
        f"        self.wfile.write(b'{OURS}')\n"
        f"h.ThreadingHTTPServer(('', {PORT}), H).serve_forever()\n"
    )
    ready = {"tcpSocket": {"port": PORT}, "periodSeconds": 1}
    return container("web", "mediafleet:dev", "python", "-c", program, readinessProbe=ready, **more)


def fetch(host: str, port: int) -> str:
    """The body at `/`, or an empty string when nobody answers in a second."""
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def test_a_locked_down_pod_runs_logs_and_takes_an_exec(workspace: Workspace) -> None:
    shown = (
        "import os, mediafleet; print('uid', os.getuid(), flush=True); import time; time.sleep(60)"
    )
    workspace.apply(pod("probe", container("main", "mediafleet:dev", "python", "-c", shown)))
    workspace.wait("condition=Ready", "pod/probe")
    wait_for("the log", lambda: "uid 65532" in workspace.kubectl("logs", "probe"))
    assert workspace.kubectl("exec", "probe", "--", "sh", "-c", "echo $((6*7))").strip() == "42"


def test_a_service_answers_inside_and_never_outside(node: Node, workspace: Workspace) -> None:
    workspace.apply(pod("web", web()), service("web", 80, PORT))
    workspace.wait("condition=Ready", "pod/web")
    address = workspace.get("service", "web")["spec"]["clusterIP"]
    pod_address = workspace.get("pod", "web")["status"]["podIP"]
    wait_for("an answer inside", lambda: fetch(address, 80) == OURS)
    assert fetch(pod_address, PORT) == OURS
    # Some machines answer at every address (a proxy); what counts is that it is not our pod.
    for host, port in ((address, 80), (pod_address, PORT)):
        assert OURS not in call_in(node.instance.outside_path, partial(fetch, host, port))


def test_names_of_services_resolve_inside_and_in_pods(workspace: Workspace) -> None:
    workspace.apply(pod("web", web()), service("web", 80, PORT))
    workspace.wait("condition=Ready", "pod/web")
    address = workspace.get("service", "web")["spec"]["clusterIP"]
    name = f"web.{workspace.name}.svc.cluster.local"
    assert wait_for("the name", lambda: resolve(name)) == address
    look = f"import urllib.request as u; print(u.urlopen('http://web.{workspace.name}').read())"
    assert OURS in workspace.kubectl("exec", "web", "--", "python", "-c", look)


def resolve(name: str) -> str | None:
    try:
        return socket.gethostbyname(name)
    except OSError:
        return None


def test_a_pod_reaches_itself_through_its_service(workspace: Workspace) -> None:
    workspace.apply(pod("web", web()), service("web", 80, PORT))
    workspace.wait("condition=Ready", "pod/web")
    address = workspace.get("service", "web")["spec"]["clusterIP"]
    wait_for("an answer inside", lambda: fetch(address, 80) == OURS)
    look = f"import urllib.request as u; print(u.urlopen('http://{address}', timeout=3).read())"
    assert OURS in workspace.kubectl("exec", "web", "--", "python", "-c", look)


def test_a_host_port_works_in_a_privileged_namespace_and_is_refused_in_a_restricted_one(
    make_workspace: Callable[[Level], Workspace],
) -> None:
    port = 18935
    manifest = pod("web", web(ports=[{"containerPort": PORT, "hostPort": port}]))
    with pytest.raises(CommandError, match="hostPort"):
        make_workspace("restricted").apply(manifest)
    privileged = make_workspace("privileged")
    privileged.apply(manifest)
    privileged.wait("condition=Ready", "pod/web")
    wait_for("an answer on the node's address", lambda: fetch(NODE_IP, port) == OURS)


def test_a_killed_container_is_back_within_seconds(workspace: Workspace) -> None:
    workspace.apply(
        pod("brief", container("main", "mediafleet:dev", "sh", "-c", "sleep 1; exit 1"))
    )

    def restarts() -> bool:
        statuses = workspace.get("pod", "brief")["status"].get("containerStatuses", [])
        return bool(statuses) and statuses[0]["restartCount"] >= 3

    wait_for("three restarts", restarts, timeout_seconds=20)


@pytest.mark.alone
def test_pods_and_services_outlive_the_api_server(node: Node, workspace: Workspace) -> None:
    workspace.apply(pod("web", web()), service("web", 80, PORT))
    workspace.wait("condition=Ready", "pod/web")
    address = workspace.get("service", "web")["spec"]["clusterIP"]
    wait_for("an answer inside", lambda: fetch(address, 80) == OURS)
    node.stop("kube-apiserver")
    try:
        with pytest.raises(CommandError):
            node.kubectl("get", "--raw=/readyz", "--request-timeout=2s")
        assert fetch(address, 80) == OURS
    finally:
        node.start("kube-apiserver")
    wait_for("the API again", lambda: workspace.pods(), timeout_seconds=60)
    node.end_back_offs()
    assert workspace.pods()[0]["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_deployment_scales_down_to_nothing(workspace: Workspace) -> None:
    template = pod("web", web())
    workspace.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": template["metadata"]["labels"]},
                "template": {k: template[k] for k in ("metadata", "spec")}
                | {"metadata": {"labels": template["metadata"]["labels"]}},
            },
        }
    )
    workspace.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert len(workspace.pods("app=web")) == 3
    workspace.kubectl("scale", "deployment/web", "--replicas=0")
    wait_for("no pod", lambda: not workspace.pods("app=web"))

"""A Kubernetes node that runs nothing and takes many pods: kwok plays its kubelet.

with crowded(node, folder) as name:
    ...  # pods with `ON_IT` in their spec become Ready at once
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from mediafleet_testbed.errors import NodeError, tail
from mediafleet_testbed.node import Node
from mediafleet_testbed.tools.toolchain import ensure
from mediafleet_testbed.waiting import WaitedInVainError, wait_for

NAME: Final = "crowd"
_ADDRESS: Final = "10.79.0.1"
PODS: Final = "10.80.0.0/16"
"""Network of the pods. Nothing answers there."""
_LEASE_SECONDS: Final = 40
MARK: Final = "mediafleet.dev/played-by-kwok"
"""Annotation of nodes that kwok plays, while they have it, and their taint."""
ON_IT: Final[dict[str, Any]] = {
    "nodeSelector": {"kubernetes.io/hostname": NAME},
    "tolerations": [{"key": MARK, "operator": "Exists", "effect": "NoSchedule"}],
}
"""What a pod's spec needs to go there."""


@contextmanager
def crowded(node: Node, folder: Path) -> Iterator[str]:
    """The node, until left; its name. Log and stages of kwok lie in `folder`.

    Raises:
        NodeError: it did not become Ready.
    """
    stages, log = folder / "kwok-stages.yaml", folder / "kwok.log"
    stages.write_text(yaml.safe_dump_all(_STAGES))
    command = [
        *("setpriv", "--pdeathsig", "KILL", str(ensure("kwok")["kwok"])),
        f"--kubeconfig={node.kubeconfig}",
        f"--config={stages}",
        f"--manage-nodes-with-annotation-selector={MARK}=true",
        f"--node-ip={_ADDRESS}",
        f"--cidr={PODS}",
        f"--node-lease-duration-seconds={_LEASE_SECONDS}",
    ]
    # That of a kwok before, which was killed: until it ends, this one would leave the node alone.
    lease = ("lease", NAME, "--namespace", "kube-node-lease")
    node.kubectl("delete", *lease, "--ignore-not-found")
    with log.open("ab") as output:
        process = subprocess.Popen(
            node.inside_command(*command), stdout=output, stderr=output, env=node.environment()
        )
    try:
        node.apply(played(NAME))
        try:
            wait_for("the crowded node is Ready", lambda: _ready(node), timeout_seconds=30.0)
        except WaitedInVainError as error:
            raise NodeError(f"{error}:\n{tail(log)}") from None
        yield NAME
    finally:
        node.kubectl("delete", "node", NAME, "--ignore-not-found")
        process.kill()
        process.wait()


def _ready(node: Node) -> bool:
    conditions = node.get("node", NAME).get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def played(name: str, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A node that kwok plays, once it is made."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {MARK: "true"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                **(labels or {}),
            },
        },
        "spec": {"taints": [{"key": MARK, "value": "true", "effect": "NoSchedule"}]},
    }


def _stage(
    name: str, kind: str, when: list[dict[str, Any]], then: dict[str, Any]
) -> dict[str, Any]:
    """A Stage of kwok: what it does with an object that is so."""
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": when},
            "next": then,
        },
    }


_NOT_READY: Final = {
    "key": '.status.conditions.[] | select( .type == "Ready" ) | .status',
    "operator": "NotIn",
    "values": ["True"],
}
_NODE_STATUS: Final = """
conditions:
- {type: Ready, status: "True", reason: Played, message: "", lastHeartbeatTime: {{ Now | Quote }}, \
lastTransitionTime: {{ Now | Quote }}}
addresses:
- {type: InternalIP, address: {{ NodeIP | Quote }}}
allocatable: {cpu: "1000", memory: 1Ti, pods: "5000", ephemeral-storage: 1Ti}
capacity: {cpu: "1000", memory: 1Ti, pods: "5000", ephemeral-storage: 1Ti}
"""
_POD_STATUS: Final = """
phase: Running
startTime: {{ Now | Quote }}
podIP: {{ PodIPWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace | Quote }}
conditions:
- {type: Ready, status: "True", lastTransitionTime: {{ Now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: true
  restartCount: 0
  state: {running: {startedAt: {{ Now | Quote }}}}
{{ end }}
"""
_STAGES: Final = (
    _stage("node-ready", "Node", [_NOT_READY], {"statusTemplate": _NODE_STATUS}),
    _stage(
        "pod-ready",
        "Pod",
        [{"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"}, _NOT_READY],
        {"statusTemplate": _POD_STATUS},
    ),
    _stage(
        "pod-gone",
        "Pod",
        [{"key": ".metadata.deletionTimestamp", "operator": "Exists"}],
        {"finalizers": {"empty": True}, "delete": True},
    ),
)
